import { describe, expect, it } from "vitest";
import { waitForDelivery } from "../../../src/edge/long-poll.ts";
import type { Delivery } from "../../../src/protocol/commands.ts";
import type { Result } from "../../../src/protocol/result.ts";
import { CLAIMS_HEADER, type QueueApi } from "../../../src/protocol/rpc.ts";
import { FakeSocket, opens, opensNone } from "../../support/fake-socket.ts";

const claims = { subject: "w", publish: false, consume: true, expiresMs: null };
const NEVER_MS = 60_000;

function wait(socket: FakeSocket | null, waitMs: number, signal = new AbortController().signal) {
  const requests: Request[] = [];
  const fetch = async (request: Request): Promise<Response> => {
    requests.push(request);
    return socket === null ? opensNone("queue_not_found", 404) : opens(socket);
  };
  const queue = { fetch } as unknown as QueueApi;
  const frame = { type: "consume", once: true, format: "binary", credit: 3 } as const;
  const result: Promise<Result<Delivery>> = waitForDelivery({ queue, claims, frame, waitMs, signal });
  return { result, requests };
}

const nothing = { ok: true, value: { lease: 0, runs: [] } };
const payload = new Uint8Array([1, 2, 3]);
const deliver = {
  type: "deliver",
  lease: 7,
  untilMs: 9,
  runs: [{ attempt: 1, failures: 0, firstSentMs: 1, bytes: 3 }],
} as const;

describe("waiting for a delivery", () => {
  it("asks once, with the caller's rights, and gives the delivery on", async () => {
    const socket = new FakeSocket();
    const { result, requests } = wait(socket, NEVER_MS);
    await socket.sends(1);
    expect(JSON.parse(requests[0]!.headers.get(CLAIMS_HEADER)!)).toEqual(claims);
    expect([socket.isAccepted, socket.binaryType]).toEqual([true, "arraybuffer"]);
    expect(socket.sent).toEqual([{ type: "consume", once: true, format: "binary", credit: 3 }]);
    socket.receive({ type: "hello", queue: "q", origin: 1 });
    socket.receive({ type: "consuming", consumer: "w", credit: 3, active: true });
    socket.receive(deliver, payload);
    expect(await result).toEqual({ ok: true, value: { lease: 7, untilMs: 9, runs: deliver.runs, payload } });
    expect(socket.closed).toBe(1000);
  });

  it("takes itself back when the time is over", async () => {
    const socket = new FakeSocket();
    const { result } = wait(socket, 0);
    await socket.sends(2);
    expect(socket.sent[1]).toEqual({ type: "cancel" });
    socket.receive({ type: "cancelled", consumer: "w", reason: "asked" });
    expect(await result).toMatchObject(nothing);
  });

  it.each(["token_revoked", "token_expired"] as const)("is refused when it ends by %s", async (reason) => {
    const socket = new FakeSocket();
    const { result } = wait(socket, NEVER_MS);
    await socket.sends(1);
    socket.receive({ type: "cancelled", consumer: "w", reason });
    expect(await result).toMatchObject({ ok: false, code: "unauthenticated" });
  });

  it("gives on a delivery that raced the end of the time", async () => {
    const socket = new FakeSocket();
    const { result } = wait(socket, 0);
    await socket.sends(2);
    socket.receive(deliver, payload);
    socket.receive({ type: "cancelled", consumer: "w", reason: "asked" });
    expect(await result).toMatchObject({ ok: true, value: { lease: 7 } });
  });

  it("closes the socket when the client goes away, at any time", async () => {
    const client = new AbortController();
    const socket = new FakeSocket();
    const { result } = wait(socket, NEVER_MS, client.signal);
    await socket.sends(1);
    client.abort();
    expect(await result).toMatchObject(nothing);
    expect(socket.closed).toBe(1000);
    const late = new FakeSocket();
    expect(await wait(late, NEVER_MS, client.signal).result).toMatchObject(nothing);
    expect(late.closed).toBe(1000);
  });

  it.each([
    ["no such queue", null, null, "queue_not_found"],
    [
      "a queue that is deleted",
      { type: "cancelled", consumer: "w", reason: "queue_deleted" },
      null,
      "queue_not_found",
    ],
    [
      "a refusal",
      { type: "error", ref: null, code: "consumer_exclusive", detail: "queue: is taken" },
      null,
      "consumer_exclusive",
    ],
    ["a lost connection", null, "close", "unavailable"],
  ] as const)("ends with a refusal for %s", async (_name, frame, event, code) => {
    const socket = frame === null && event === null ? null : new FakeSocket();
    const { result } = wait(socket, NEVER_MS);
    await socket?.sends(1);
    if (frame !== null) socket!.receive(frame);
    if (event !== null) socket!.dispatchEvent(new Event(event));
    expect(await result).toMatchObject({ ok: false, code });
  });
});
