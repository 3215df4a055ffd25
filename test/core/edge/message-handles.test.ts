// Which waiting messages a token may take back or replace, and under whose name it publishes.
import { describe, expect, it } from "vitest";
import { ok } from "../../../src/protocol/result.ts";
import type { Grant } from "../../../src/protocol/rpc.ts";
import { FakeBroker } from "../../support/fake-broker.ts";
import { authorization, SECRET } from "../../support/token.ts";

const BY_ID = "/v1/queues/orders/messages/1-1";
const BY_KEY = "/v1/queues/orders/messages?cancelKey=k";
const OWN_FORM = `/v1/queues/orders/messages?cancelKey=${encodeURIComponent(`own:${"0".repeat(20)}:k`)}`;
const publish: Grant = { verb: "publish", pattern: "orders" };
const publishOwn: Grant = { ...publish, own: true };
const consume: Grant = { verb: "consume", pattern: "#" };
const manage: Grant = { verb: "manage", pattern: "#" };
const confirm = { origin: 1, sequences: [[2, 1]] as [number, number][], duplicates: [] };

async function statuses(grants: readonly Grant[], path: string): Promise<[number, number, FakeBroker]> {
  const queue = {
    cancel: async () => ok({ id: "1-1" }),
    replace: async () => ok(confirm),
    publish: async () => ok(confirm),
  };
  const broker = new FakeBroker({ secret: SECRET, queue });
  const headers = await authorization(grants);
  const cancelled = await broker.request("DELETE", path, { headers });
  return [cancelled.status, (await broker.json("PUT", path, {}, headers)).status, broker];
}

describe("taking back and replacing", () => {
  it.each([
    ["by an id, which may be guessed, takes manage", BY_ID, [publish], 403],
    ["by an id takes manage under any grant to publish", BY_ID, [publishOwn, publish], 403],
    ["by an id is for who manages", BY_ID, [manage], 200],
    ["by a cancel key is for publishers", BY_KEY, [publish], 200],
    ["by a cancel key is for who manages", BY_KEY, [manage], 200],
    ["by a key that is somebody's own is not for publishers", OWN_FORM, [publish], 403],
    ["by a key that is somebody's own is for who manages", OWN_FORM, [manage], 200],
    ["takes a grant", BY_KEY, [consume], 403],
  ])("%s", async (_claim, path, grants, status) => {
    expect((await statuses(grants, path)).slice(0, 2)).toEqual([status, status]);
  });

  it("finds only a subject's own where every grant to publish there says so", async () => {
    const publisher = { subject: "tester", hasOwnKeys: true };
    const elsewhere: Grant = { verb: "publish", pattern: "mail" };
    const [, , own] = await statuses([publishOwn, elsewhere], BY_KEY);
    expect(own.inputs("cancel")).toEqual([[{ cancelKey: "k", publisher }]]);
    expect(own.inputs("replace")[0]).toMatchObject([{ cancelKey: "k", publisher }, {}, publisher]);
    const [, , both] = await statuses([publishOwn, publish], BY_KEY);
    expect(both.inputs("cancel")).toEqual([[{ cancelKey: "k" }]]);
    expect(both.inputs("replace")[0]).toMatchObject([{ cancelKey: "k" }, {}, { subject: "tester" }]);
  });
});

describe("a grant", () => {
  it("that says own and is not one to publish makes no token", async () => {
    const [status] = await statuses([{ ...manage, own: true }], BY_ID);
    expect(status).toBe(401);
  });
});

describe("publishing", () => {
  it.each([
    ["a body", "POST", "/v1/queues/orders/messages", {}],
    ["a batch", "POST", "/v1/queues/orders/batches", { messages: [{}] }],
  ])("%s tells the queue whose it is", async (_name, method, path, body) => {
    const broker = new FakeBroker({ secret: SECRET, queue: { publish: async () => ok(confirm) } });
    await broker.json(method, path, body, await authorization([publishOwn]));
    expect(broker.inputs("publish")[0]).toMatchObject([
      { publisher: { subject: "tester", hasOwnKeys: true } },
    ]);
  });

  it.each([
    [[{ verb: "publish", pattern: "a", own: true }], { subject: "tester", hasOwnKeys: true }],
    [
      [
        { verb: "publish", pattern: "a", exchange: "e" },
        { verb: "publish", pattern: "#", own: true },
      ],
      { subject: "tester" },
    ],
  ] as [Grant[], object][])("to an exchange does, under %j", async (grants, publisher) => {
    const routed = { matched: [1], delayed: [], failed: [], returned: [], position: "" };
    const broker = new FakeBroker({ secret: SECRET, exchange: { publish: async () => ok(routed) } });
    const messages = [{ routingKey: "a" }];
    await broker.json("POST", "/v1/exchanges/e/batches", { messages }, await authorization(grants));
    expect(broker.inputs("publish")[0]).toMatchObject([{ publisher }]);
  });
});
