// A misspelt option is refused wherever one may be given: by the compiler (each line here says so), and when it runs.
import { beforeEach, describe, expect, it } from "vitest";
import { Answer, connect, Retry, type Client, type ConnectOptions } from "../../../src/client/index.ts";
import { FakeBroker } from "./fake-broker.ts";
import { ManualClock, settle } from "./manual-clock.ts";

let clock: ManualClock;
let broker: FakeBroker;
let client: Client;
let options: ConnectOptions;

beforeEach(() => {
  clock = new ManualClock();
  broker = new FakeBroker(clock);
  options = {
    url: "http://broker.test",
    clock,
    WebSocket: broker.WebSocket,
    fetch: () => Promise.reject(new Error("no request is made")),
  };
  client = connect(options);
});

const nothing = (): void => undefined;

describe("a misspelt option", () => {
  it.each<[string, () => unknown]>([
    // @ts-expect-error -- the option that is misspelt
    ["prioritty: is not a known option; did you mean priority?", () => publish("a", { prioritty: 9 })],
    // @ts-expect-error -- likewise
    ["delayMS: is not a known option; did you mean delayMs?", () => queue().tryPublish("a", { delayMS: 9 })],
    // @ts-expect-error -- likewise
    ["dedupID: is not a known", () => queue().publishMany([{ body: "a" }, { body: "b", dedupID: "1" }])],
    // @ts-expect-error -- likewise
    ["ttl: is not a known option; did you mean ttlMs?", () => queue().replace("1-1", "a", { ttl: 9 })],
    // @ts-expect-error -- likewise
    ["prefetch: is not a known option", () => queue().consume(nothing, { prefetch: 9 })],
    // @ts-expect-error -- likewise
    ["credits: is not a known", () => queue().messages({ credits: 9 })],
    // @ts-expect-error -- likewise
    ["maxx: is not a known option; did you mean max?", () => queue().receive({ maxx: 9 })],
    // @ts-expect-error -- likewise
    ["ifEmtpy: is not a known option; did you mean ifEmpty?", () => queue().delete({ ifEmtpy: true })],
    // @ts-expect-error -- likewise
    ["mandatroy: is not", () => client.exchange("x").publish("a.b", "a", { mandatroy: true })],
    // @ts-expect-error -- the topic is an argument of its own
    ["routingKey: is not", () => client.exchange("x").publish("a.b", "a", { routingKey: "c" })],
    // @ts-expect-error -- likewise
    ["lasst: is not", () => client.exchange("x").subscribe("#", nothing, { lasst: 9 })],
    // @ts-expect-error -- likewise
    ["sinse: is not", () => client.subscribe("#", { exchange: "x", sinse: "1" })],
    // @ts-expect-error -- likewise
    ["header: is not", () => client.exchange("x").bind("q", "#", { header: null })],
    // @ts-expect-error -- likewise
    ["ifUnusd: is not", () => client.exchange("x").delete({ ifUnusd: true })],
    // @ts-expect-error -- likewise
    ["timeout: is not a known option; did you mean timeoutMs?", () => client.call("q", "a", { timeout: 9 })],
    // @ts-expect-error -- likewise
    ["concurency: is not", () => client.serve("q", nothing, { concurency: 9 })],
    // @ts-expect-error -- likewise
    ["contenttype: is not", () => new Answer("a", { contenttype: "text/plain" })],
    // @ts-expect-error -- likewise
    ["delay: is not", () => new Retry({ delay: 9 })],
    // @ts-expect-error -- likewise
    ["timeoutms: is not", () => client.drain({ timeoutms: 9 })],
    // @ts-expect-error -- likewise
    ["tokens: is not a known option; did you mean token?", () => connect({ ...options, tokens: "a" })],
    // @ts-expect-error -- likewise
    ["reconnect.maxms: is not", () => connect({ ...options, reconnect: { maxms: 9 } })],
    // @ts-expect-error -- likewise
    ["publisher.lingerms: is not", () => connect({ ...options, publisher: { lingerms: 9 } })],
  ])("is named: %s", async (words, use) => {
    const error = await Promise.resolve()
      .then(use)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "bad_request" });
    expect((error as Error).message).toContain(words);
    await settle();
    expect(broker.stored).toEqual([]);
  });

  it("of a message that is in hand is refused and leaves the message as it was", async () => {
    const errors: unknown[] = [];
    const consumer = queue().consume(
      async (message) => {
        // @ts-expect-error -- the option that is misspelt
        await message.nack({ delay: 9 }).catch((error: unknown) => errors.push(error));
        // @ts-expect-error -- likewise
        await message.reject({ ded: true }).catch((error: unknown) => errors.push(error));
      },
      { onError: (error) => errors.push(error) },
    );
    await settle();
    broker.deliver(5, 1, ["a"]);
    await clock.advance(10);
    expect(errors).toMatchObject([{ code: "bad_request" }, { code: "bad_request" }]);
    expect(broker.settlements).toMatchObject([{ verdict: "ack" }]);
    // @ts-expect-error -- likewise
    await expect(consumer.drain({ timeout: 9 })).rejects.toMatchObject({ code: "bad_request" });
  });
});

it("an option far from all known ones is named without a guess", async () => {
  // @ts-expect-error -- no such option
  const published = publish("a", { colour: "red" });
  await expect(published).rejects.toThrow(/colour: is not a known option$/);
});

function queue(): ReturnType<Client["queue"]> {
  return client.queue("orders");
}
function publish(...args: Parameters<ReturnType<Client["queue"]>["publish"]>): Promise<unknown> {
  return queue().publish(...args);
}
