/** The SDK in a Worker of its own, whose sockets belong to the request that opened them. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBroker, type Broker } from "../../examples/demo/broker.ts";
import { connect } from "../../src/client/index.ts";

let broker: Broker;
let caller: Broker;

beforeAll(async () => {
  broker = await startBroker();
  const config = join(import.meta.dirname, "caller/wrangler.toml");
  caller = await startBroker({ args: ["--config", config, "--var", `BROKER_URL:${broker.url}`] });
  const client = connect({ url: broker.url });
  await client.queue("orders").declare();
  await client.exchange("shop").declare();
  await client.exchange("shop").bind("orders");
  client.close();
});
afterAll(async () => {
  await caller?.stop();
  await broker?.stop();
});

async function ask(path: string): Promise<unknown> {
  return (await fetch(`${caller.url}${path}`)).json();
}

describe("in a Worker", () => {
  it("a client of its own serves each request, also several at a time", async () => {
    const paths = ["/own/publish", "/own/publish", "/own/consume", "/own/inspect"];
    const done = [{ done: false }, { done: false }, { done: "ready" }, { done: "orders" }];
    expect(await Promise.all(paths.map(ask))).toEqual(done);
    expect(await Promise.all(paths.map(ask))).toEqual(done);
  });

  it("a client that requests share is refused at once, with words", async () => {
    expect(await ask("/shared/publish")).toEqual({ done: false });
    for (const how of ["publish", "consume", "route"]) {
      expect(await ask(`/shared/${how}`), how).toEqual({
        code: "bad_request",
        message: expect.stringContaining("connect in each request") as string,
      });
    }
    // What goes over HTTP needs no socket.
    expect(await ask("/shared/inspect")).toEqual({ done: "orders" });
  });

  it("a client in a Durable Object serves all of its events", async () => {
    for (let i = 0; i < 3; i++) expect(await ask("/object/publish")).toEqual({ done: false });
    expect(await ask("/object/inspect")).toEqual({ done: "orders" });
  });
});
