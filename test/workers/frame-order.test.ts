// The frames of one socket take effect in their order, however close together they come.
import { reset, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it } from "vitest";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import type { ClientFrame } from "../../src/protocol/frames.ts";
import { batchOf, declare, must, TestSocket, type QueueStub } from "../support/queue-client.ts";

afterEach(() => reset());

const FRAMES = {
  consume: { type: "consume", credit: 1 },
  "consume by name": { type: "consume", consumer: "ann", credit: 1 },
  credit: { type: "credit", credit: 0 },
  publish: { type: "publish", messages: [{ body: "x" }] },
  drain: { type: "drain" },
  cancel: { type: "cancel" },
} as const satisfies Record<string, ClientFrame>;

const names = Object.keys(FRAMES) as (keyof typeof FRAMES)[];
const pairs = names.flatMap((first) => names.map((second) => [first, second] as const));

/** What comes until a ping that was sent is answered, without what belongs to the turn and not to the frame. */
async function until(socket: TestSocket, ref: number): Promise<string[]> {
  const seen: string[] = [];
  for (;;) {
    const { head } = await socket.any();
    if (head.type === "pong" && head.ref === ref) return seen;
    if (head.type !== "confirm" && head.type !== "deliver")
      seen.push(head.type === "error" ? `error ${head.code}` : head.type);
  }
}

interface Seen {
  readonly frames: string[];
  readonly consumers: unknown;
  readonly counts: unknown;
}

/** The object gets the frames in one event of its loop, closer together than a network brings them. */
async function deliverTogether(stub: QueueStub, frames: readonly ClientFrame[]): Promise<void> {
  await runInDurableObject(stub, async (object: QueueObject, state) => {
    const [socket] = state.getWebSockets();
    await Promise.all(frames.map((frame) => object.webSocketMessage(socket!, JSON.stringify(frame))));
  });
}

async function outcome(stub: QueueStub, pair: readonly ClientFrame[], isSpaced: boolean): Promise<Seen> {
  const socket = await TestSocket.open(stub);
  const frames: string[] = [];
  if (!isSpaced) await deliverTogether(stub, pair);
  for (const frame of isSpaced ? pair : []) {
    socket.send(frame);
    socket.send({ type: "ping", ref: 1 });
    frames.push(...(await until(socket, 1)));
  }
  // A delivery follows its turn, so one turn more tells that nothing is to come.
  for (const ref of [2, 3]) {
    socket.send({ type: "ping", ref });
    frames.push(...(await until(socket, ref)));
  }
  const { consumers, counts } = must(await stub.inspect());
  return { frames, consumers: consumers.map(({ consumer: _name, ...rest }) => rest), counts };
}

describe("two frames back to back", () => {
  it.each(pairs)("%s, %s: do what they do one after the other", async (first, second) => {
    const pair = [FRAMES[first], FRAMES[second]];
    const [spaced, together] = [await declare("spaced"), await declare("together")];
    expect(await outcome(together, pair, false)).toEqual(await outcome(spaced, pair, true));
  });

  it("a consume that is cancelled at once leaves no consumer and holds nothing", async () => {
    const stub = await declare("cancelled");
    must(await stub.publish({ batch: batchOf("a") }));
    const socket = await TestSocket.open(stub);
    await deliverTogether(stub, [FRAMES.consume, FRAMES.cancel, FRAMES["consume by name"], FRAMES.cancel]);
    socket.send({ type: "ping", ref: 1 });
    expect(await until(socket, 1)).toEqual(["consuming", "cancelled", "consuming", "cancelled"]);
    const { consumers, counts } = must(await stub.inspect());
    expect(consumers).toEqual([]);
    expect(counts).toMatchObject({ ready: 1, leased: 0 });
  });
});

describe("a delivery that never left", () => {
  it("charges no failure and is back at once, where the consumer closed in the same turn", async () => {
    const stub = await declare("closed", { maxFailures: 0 });
    for (let i = 0; i < 20; i++) {
      const socket = await TestSocket.open(stub);
      socket.send({ type: "consume", once: i % 2 === 0 });
      socket.close();
      await socket.closed;
    }
    must(await stub.publish({ batch: batchOf("a") }));
    const { consumers, counts } = must(await stub.inspect());
    expect(consumers).toEqual([]);
    expect(counts).toMatchObject({ ready: 1, dead: 0 });
  });

  it("is given back where the socket takes nothing any more", async () => {
    const stub = await declare("deaf", { maxFailures: 0 });
    const socket = await TestSocket.open(stub);
    socket.send({ type: "consume", once: true });
    await socket.next("consuming");
    // As when the peer has gone and nothing has told the object yet.
    await runInDurableObject(stub, (_object: QueueObject, state) => {
      for (const server of state.getWebSockets())
        server.send = () => {
          throw new Error("the socket is gone");
        };
    });
    must(await stub.publish({ batch: batchOf("a") }));
    must(await stub.publish({ batch: batchOf("b") }));
    const { counts, totals } = must(await stub.inspect());
    expect(counts).toMatchObject({ ready: 2, leased: 0, dead: 0 });
    expect(totals).toMatchObject({ failed: 0 });
  });
});
