// Bodies over the inline limit lie in a bucket, and are gone when their message is.
import { reset } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, describe, expect, it } from "vitest";
import { LIMITS } from "../../src/protocol/limits.ts";
import { runAlarm } from "../support/queue-client.ts";

afterEach(async () => {
  await reset();
});

const large = new Uint8Array(LIMITS.bodyBytesMax + 1_000).fill(97);

async function call(
  method: string,
  path: string,
  body?: BodyInit,
  type = "application/json",
): Promise<Response> {
  const headers = body === undefined ? {} : { "Content-Type": type };
  return exports.default.fetch(
    new Request(`http://localhost/v1${path}`, { method, headers, ...(body === undefined ? {} : { body }) }),
  );
}

async function stored(): Promise<string[]> {
  return (await env.BODIES!.list()).objects.map(({ key }) => key);
}

async function publishLarge(queue: string): Promise<void> {
  expect((await call("PUT", `/queues/${queue}`)).status).toBe(201);
  const answer = await call("POST", `/queues/${queue}/messages`, large, "text/plain");
  expect(answer.status, await answer.clone().text()).toBe(201);
  expect(await stored()).toHaveLength(1);
}

async function acked(queue: string): Promise<number> {
  const received = await call("POST", `/queues/${queue}/receive`, JSON.stringify({ max: 10 }));
  const { messages } = (await received.json()) as { messages: { receipt: string }[] };
  const settlements = messages.map(({ receipt }) => ({ receipt, verdict: "ack" }));
  await call("POST", `/queues/${queue}/settle`, JSON.stringify({ settlements }));
  await runAlarm(env.QUEUES.getByName(`default/${queue}`));
  return messages.length;
}

/** More than a queue is granted at a time: see allotment.ts. */
const huge = new Uint8Array(9 * 1024 ** 2).fill(98);
const STEP_BYTES = 8 * 1024 ** 2;

describe("a body in the bucket", () => {
  it("counts in the namespace's quota, and leaves nothing behind where that has no room for it", async () => {
    await call("PUT", "/namespace/quota", JSON.stringify({ bytesMax: 2 * STEP_BYTES }));
    await call("PUT", "/queues/full");
    const publish = (): Promise<Response> => call("POST", "/queues/full/messages", huge, "text/plain");
    expect((await publish()).status).toBe(201);
    const refused = await publish();
    expect(await refused.json()).toMatchObject({ code: "quota_exceeded" });
    expect(await stored()).toHaveLength(1);
    expect(await acked("full")).toBe(1);
    expect((await publish()).status).toBe(201);
  });

  it("has room made for it in the queue of its dead letter", async () => {
    await call("PUT", "/queues/grave");
    await call("PUT", "/queues/sick", JSON.stringify({ maxFailures: 0, deadLetter: { queue: "grave" } }));
    await call("POST", "/queues/sick/messages", huge, "text/plain");
    const received = await call("POST", "/queues/sick/receive", JSON.stringify({ max: 1 }));
    const { messages } = (await received.json()) as { messages: { receipt: string }[] };
    const settlements = [{ receipt: messages[0]!.receipt, verdict: "reject" }];
    await call("POST", "/queues/sick/settle", JSON.stringify({ settlements }));
    await runAlarm(env.QUEUES.getByName("default/sick"));
    expect(await acked("grave")).toBe(1);
    expect(await stored()).toEqual([]);
  });
});

describe("a body over the inline limit", () => {
  it("comes back as if it were small, and is deleted when its message is acked", async () => {
    await publishLarge("big");
    const received = await call("POST", "/queues/big/receive", JSON.stringify({ max: 1 }));
    const { messages } = (await received.json()) as { messages: { body: string; receipt: string }[] };
    expect(messages[0]!.body.length).toBe(large.byteLength);
    const settlements = [{ receipt: messages[0]!.receipt, verdict: "ack" }];
    expect((await call("POST", "/queues/big/settle", JSON.stringify({ settlements }))).status).toBe(200);
    await runAlarm(env.QUEUES.getByName("default/big"));
    expect(await stored()).toEqual([]);
  });

  it("is deleted with a purge, and with its queue", async () => {
    await publishLarge("purged");
    await call("POST", "/queues/purged/purge", "{}");
    await runAlarm(env.QUEUES.getByName("default/purged"));
    expect(await stored()).toEqual([]);
    await call("DELETE", "/queues/purged");
    await publishLarge("deleted");
    await call("POST", "/queues/deleted/receive", JSON.stringify({ max: 1 }));
    expect((await call("DELETE", "/queues/deleted")).status).toBe(200);
    expect(await stored()).toEqual([]);
  });

  it("stays while its message moves to the dead letters", async () => {
    await call("PUT", "/queues/grave");
    await call("PUT", "/queues/sick", JSON.stringify({ maxFailures: 0, deadLetter: { queue: "grave" } }));
    await call("POST", "/queues/sick/messages", large, "text/plain");
    const received = await call("POST", "/queues/sick/receive", JSON.stringify({ max: 1 }));
    const { messages } = (await received.json()) as { messages: { receipt: string }[] };
    const settlements = [{ receipt: messages[0]!.receipt, verdict: "reject" }];
    await call("POST", "/queues/sick/settle", JSON.stringify({ settlements }));
    await runAlarm(env.QUEUES.getByName("default/sick"));
    expect(await stored()).toHaveLength(1);
    const letter = await call("POST", "/queues/grave/receive", JSON.stringify({ max: 1 }));
    const dead = (await letter.json()) as { messages: { body: string; receipt: string }[] };
    expect(dead.messages[0]!.body.length).toBe(large.byteLength);
    const ack = [{ receipt: dead.messages[0]!.receipt, verdict: "ack" }];
    await call("POST", "/queues/grave/settle", JSON.stringify({ settlements: ack }));
    await runAlarm(env.QUEUES.getByName("default/grave"));
    expect(await stored()).toEqual([]);
  });

  it("leaves nothing behind when the publish is refused", async () => {
    const answer = await call("POST", "/queues/nowhere/messages", large, "text/plain");
    expect(answer.status).toBe(404);
    expect(await stored()).toEqual([]);
  });
});
