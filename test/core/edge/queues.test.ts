// Managing a queue and receiving from it over HTTP: what a request becomes, and what an answer looks like.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { QUEUE_DEFAULTS } from "../../../src/protocol/queue-config.ts";
import { ok, refuse } from "../../../src/protocol/result.ts";
import { FakeBroker, problemOf } from "../../support/fake-broker.ts";
import { FakeSocket, opens } from "../../support/fake-socket.ts";

const PATH = "/v1/queues/orders";
const info = async () => ok({ queue: "orders", config: QUEUE_DEFAULTS } as never);
const nothing = { lease: 0, untilMs: 0, runs: [], payload: new Uint8Array(0) };

describe("a receive that finds nothing", () => {
  /** `waitMs`: the queue's. */
  function open(waitMs?: number): { broker: FakeBroker; socket: FakeSocket } {
    const socket = new FakeSocket();
    const wait = waitMs === undefined ? {} : { waitMs };
    const queue = { receive: async () => ok({ ...nothing, ...wait }), fetch: async () => opens(socket) };
    return { broker: new FakeBroker({ queue }), socket };
  }

  it.each([
    ["the queue's time", 60_000, {}],
    ["the time it names", undefined, { waitMs: 60_000 }],
    ["the time it names, whatever the queue's", 1, { waitMs: 60_000 }],
  ])("waits %s", async (_name, queueMs, wish) => {
    const { broker, socket } = open(queueMs);
    const answer = broker.json("POST", `${PATH}/receive`, { ...wish, max: 3, leaseMs: 0 });
    await socket.sends(1);
    expect(socket.sent).toMatchObject([{ type: "consume", once: true, credit: 3, leaseMs: 0 }]);
    socket.receive({ type: "cancelled", consumer: "w", reason: "asked" });
    expect(await (await answer).json()).toEqual({ messages: [] });
    expect(broker.inputs("receive")).toEqual([
      [
        {
          max: 3,
          leaseMs: 0,
          consumer: expect.any(String) as string,
          subject: expect.any(String) as string,
        },
      ],
    ]);
  });

  it.each([
    ["neither it nor the queue names a time", undefined, {}],
    ["it names none, whatever the queue's", 60_000, { waitMs: 0 }],
  ])("does not wait where %s", async (_name, queueMs, wish) => {
    const { broker, socket } = open(queueMs);
    const response = await broker.json("POST", `${PATH}/receive`, wish);
    expect(await response.json()).toEqual({ messages: [] });
    expect([broker.inputs("fetch"), socket.sent]).toEqual([[], []]);
  });
});

describe("a receive that waits over a second", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** Its answer has begun. */
  async function begun(
    headers: Record<string, string> = {},
  ): Promise<{ answer: Promise<Response>; socket: FakeSocket }> {
    const socket = new FakeSocket();
    const queue = { receive: async () => ok(nothing), fetch: async () => opens(socket) };
    const broker = new FakeBroker({ queue });
    const answer = broker.json("POST", `${PATH}/receive`, { waitMs: 60_000 }, headers);
    await socket.sends(1);
    await vi.advanceTimersByTimeAsync(1_000);
    return { answer, socket };
  }

  it("is begun with a space, and a client that has gone ends the wait", async () => {
    const { answer, socket } = await begun();
    const reader = (await answer).body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(" ");
    expect(socket.closed).toBeNull();
    await reader.cancel();
    await vi.advanceTimersByTimeAsync(0);
    expect(socket.closed).toBe(1000);
  });

  it("has its refusal in the answer", async () => {
    const { answer, socket } = await begun();
    socket.receive({ type: "cancelled", consumer: "w", reason: "queue_deleted" });
    const response = await answer;
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
    expect(await response.json()).toMatchObject({
      messages: [],
      problem: { code: "queue_not_found", status: 404 },
    });
  });

  it("is not begun where the answer is a frame", async () => {
    const { answer, socket } = await begun({ Accept: "application/vnd.millrace.delivery" });
    socket.receive({ type: "cancelled", consumer: "w", reason: "queue_deleted" });
    expect((await answer).status).toBe(404);
  });
});

describe("a queue's name", () => {
  it.each(["_orders", "-orders", "0", "A.b-c_d"])("may be %s", async (name) => {
    const broker = new FakeBroker({ queue: { inspect: info } });
    expect((await broker.request("GET", `/v1/queues/${name}`)).status).toBe(200);
    expect(broker.calls).toMatchObject([{ object: `default/${name}`, method: "inspect" }]);
  });

  it.each([".orders", "or%20ders", "ö", "x".repeat(129)])("may not be %s", async (name) => {
    const broker = new FakeBroker({ queue: { inspect: info } });
    expect(await problemOf(await broker.request("GET", `/v1/queues/${name}`))).toMatchObject({
      code: "bad_name",
    });
  });
});

describe("labels", () => {
  it("are taken away by a null in a change, and can't be null where a queue is declared", async () => {
    const broker = new FakeBroker({ queue: { update: info, declare: info } });
    const labels = { team: "shop", old: null };
    expect((await broker.json("PATCH", PATH, { labels })).status).toBe(200);
    expect(broker.inputs("update")).toEqual([[{ labels }]]);
    expect(await problemOf(await broker.json("PUT", PATH, { labels }))).toMatchObject({
      code: "bad_request",
      detail: "labels.old: must be a text",
    });
    expect(broker.inputs("declare")).toEqual([]);
  });
});

it("queues are listed by where their dead go", async () => {
  const page = { queues: ["orders"] };
  const broker = new FakeBroker({ namespace: { listQueues: async () => ok(page) } });
  const response = await broker.request("GET", "/v1/queues?deadLetter=orders.dead&prefix=o&limit=5&after=a");
  expect(await response.json()).toEqual(page);
  await broker.request("GET", "/v1/queues");
  expect(broker.inputs("listQueues")).toEqual([
    [{ deadLetter: "orders.dead", prefix: "o", limit: 5, after: "a", patterns: ["#"] }],
    [{ prefix: "", limit: 100, after: "", patterns: ["#"] }],
  ]);
  expect(await problemOf(await broker.request("GET", "/v1/queues?deadLetter=.x"))).toMatchObject({
    code: "bad_request",
  });
});

it("a purge says what it takes", async () => {
  const broker = new FakeBroker({ queue: { purge: async () => ok({ messages: 3 }) } });
  const response = await broker.json("POST", `${PATH}/purge`, { leased: true, dedup: true });
  expect(await response.json()).toEqual({ messages: 3 });
  await broker.request("POST", `${PATH}/purge`);
  expect(broker.inputs("purge")).toEqual([[{ leased: true, dedup: true }], [{}]]);
});

describe("redrives", () => {
  const status = {
    task: 2,
    state: "running",
    scanned: 3,
    matched: 2,
    moved: 1,
    startedMs: 5,
    total: 9,
    to: "orders",
    ratePerSecond: 0.5,
  } as const;

  it("are begun with what is asked for", async () => {
    const broker = new FakeBroker({ queue: { redrive: async () => ok(status) } });
    const wish = { all: true, alone: true, to: "orders", ratePerSecond: 0.5 };
    expect(await (await broker.json("POST", `${PATH}/redrive`, wish)).json()).toEqual(status);
    expect(broker.inputs("redrive")).toEqual([[{ ...wish, filter: {}, dryRun: false }]]);
  });

  it("are listed", async () => {
    const broker = new FakeBroker({ queue: { redrives: async () => ok([status]) } });
    expect(await (await broker.request("GET", `${PATH}/redrive`)).json()).toEqual({ redrives: [status] });
    expect(broker.inputs("redrives")).toEqual([[100]]);
    const none = new FakeBroker();
    expect(await problemOf(await none.request("GET", `${PATH}/redrive`))).toMatchObject({
      code: "queue_not_found",
    });
  });

  it("that may not be beside others are refused so that it can be tried again", async () => {
    const broker = new FakeBroker({
      queue: { redrive: async () => refuse("redrive_running", "one goes on") },
    });
    expect(await problemOf(await broker.json("POST", `${PATH}/redrive`, { alone: true }))).toMatchObject({
      status: 409,
      code: "redrive_running",
    });
  });
});

describe("settlements", () => {
  it("that may come late are not mixed with those that may not", async () => {
    const settle = async () =>
      ok([
        { settled: 1, refused: [] },
        { settled: 1, refused: [] },
      ]);
    const broker = new FakeBroker({ queue: { settle } });
    await broker.json("POST", `${PATH}/settle`, {
      settlements: [
        { receipt: "7-4", verdict: "ack" },
        { receipt: "7-5", verdict: "ack", late: true },
      ],
    });
    const subject = expect.any(String) as string;
    expect(broker.inputs("settle")).toEqual([
      [
        [
          { lease: 7, subject, verdict: "ack", sequences: [[4, 1]] },
          { lease: 7, subject, verdict: "ack", late: true, sequences: [[5, 1]] },
        ],
      ],
    ]);
  });

  it("tell of an extension that was cut", async () => {
    const settle = async () => ok([{ settled: 1, untilMs: 5, isCut: true as const, refused: [] }]);
    const broker = new FakeBroker({ queue: { settle } });
    for (const which of [{ receipt: "7-4" }, { lease: 7 }]) {
      const settlements = [{ ...which, verdict: "extend" }];
      const response = await broker.json("POST", `${PATH}/settle`, { settlements });
      expect(await response.json()).toEqual({ results: [{ ok: true, settled: 1, untilMs: 5, isCut: true }] });
    }
  });
});
