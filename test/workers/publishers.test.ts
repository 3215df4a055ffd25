// Every door tells a queue who publishes, so that the names that publishers choose stay theirs.
import { reset } from "cloudflare:test";
import { afterEach, describe, expect, it } from "vitest";
import type { Grant } from "../../src/protocol/rpc.ts";
import { bind, bodiesIn, declareExchange } from "../support/exchange-client.ts";
import { declare, TestSocket } from "../support/queue-client.ts";
import { TestSession } from "../support/session-client.ts";

afterEach(reset);

const message = (body: string) => [{ body, routingKey: "a", dedupId: "id", cancelKey: "k" }];
const ownGrants: Grant[] = [{ verb: "publish", pattern: "#", own: true }];

describe("publishers of different subjects", () => {
  it("neither silence nor replace one another over a queue's sockets", async () => {
    const stub = await declare("q");
    for (const subject of ["mallory", "alice"]) {
      const socket = await TestSocket.open(stub, { subject, hasOwnKeys: true });
      socket.send({ type: "publish", ref: 1, messages: message(subject) });
      expect((await socket.next("confirm")).head).toMatchObject({ duplicates: [] });
      socket.send({ type: "publish", ref: 2, messages: message(subject) });
      expect((await socket.next("confirm")).head).toMatchObject({ duplicates: [0] });
    }
    expect(await bodiesIn(stub)).toEqual(["mallory", "alice"]);
  });

  it.each([["queue"], ["exchange"]])("nor through sessions, to what is a %s", async (kind) => {
    const stub = await declare("q");
    const exchange = await declareExchange("e");
    await bind(exchange, "q", "a");
    const target = kind === "queue" ? { queue: "q" } : { exchange: "e" };
    for (const subject of ["mallory", "alice", "mallory"]) {
      const session = await TestSession.open({ claims: { subject, grants: ownGrants } });
      const frame = { type: "publish", ref: 1, ...target, messages: message(subject) } as const;
      await session.ask(frame, kind === "queue" ? "confirm" : "routed");
    }
    expect(await bodiesIn(stub)).toEqual(["mallory", "alice"]);
  });

  it("can't give a key the form of another's own, through an exchange either", async () => {
    await declareExchange("e");
    const session = await TestSession.open({ claims: { subject: "mallory" } });
    const messages = [{ body: "b", routingKey: "a", cancelKey: `own:${"0".repeat(20)}:k` }];
    const refused = await session.ask({ type: "publish", ref: 1, exchange: "e", messages }, "error");
    expect(refused).toMatchObject({ code: "forbidden" });
  });
});
