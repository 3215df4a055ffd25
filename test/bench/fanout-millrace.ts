/** A subscriber over a session of ours (PROTOCOL §6.9), with no more than it takes; the publisher is the SDK. */
import { connect } from "../../src/client/index.ts";
import { openSocket } from "./frames.ts";
import type { Link, Take } from "./fanout-link.ts";

const EXCHANGE = "fanout";
const TOPIC = "bench";
/** Of the protocol: `seen` after every 16 frames or 128 KiB. */
const SEEN_FRAMES = 16;
const SEEN_BYTES = 128 * 1024;
const BATCH_HEADER_BYTES = 40;
const COUNT_AT = 12;

export async function linkMillrace(url: string, take: Take | null): Promise<Link> {
  return take === null ? publisher(url) : subscriber(url, take);
}

async function publisher(url: string): Promise<Link> {
  const client = connect({ url });
  const exchange = client.exchange(EXCHANGE);
  await exchange.declare();
  return {
    publish: (bodies) => {
      for (const body of bodies) exchange.publish(TOPIC, body).catch(fail);
    },
    close: () => client.close(),
  };
}

function fail(error: unknown): void {
  throw error;
}

async function subscriber(url: string, take: Take): Promise<Link> {
  const socket = await openSocket(`${url.replace("http", "ws")}/v1/socket`);
  const subscribed = Promise.withResolvers<void>();
  let frames = 0;
  let framesTold = 0;
  let bytesUntold = 0;
  socket.on("message", (data: Buffer, isBinary) => {
    if (!isBinary) {
      const frame = JSON.parse(data.toString()) as { type: string; mark?: number };
      if (frame.type === "subscribed") subscribed.resolve();
      else if (frame.type === "mark") socket.send(`{"type":"reached","mark":${frame.mark}}`);
      else if (frame.type !== "hello") throw new Error(`unexpected: ${data.toString()}`);
      return;
    }
    readBatch(data, 4 + data.readUInt32LE(0), take);
    frames++;
    bytesUntold += data.length;
    if (frames - framesTold < SEEN_FRAMES && bytesUntold < SEEN_BYTES) return;
    framesTold = frames;
    bytesUntold = 0;
    socket.send(`{"type":"seen","frames":${frames}}`);
  });
  socket.send(
    JSON.stringify({ type: "subscribe", ref: 1, exchange: EXCHANGE, pattern: "#", format: "binary" }),
  );
  await subscribed.promise;
  return { publish: () => undefined, close: () => socket.terminate() };
}

/** Each record is its size, its flags and its fields, of which these have one: the topic. Then comes the body. */
function readBatch(bytes: Buffer, batchAt: number, take: Take): void {
  const count = bytes.readUInt32LE(batchAt + COUNT_AT);
  let at = batchAt + BATCH_HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const end = at + 4 + bytes.readUInt32LE(at);
    take(bytes, at + 6 + 1 + bytes[at + 6]!, end);
    at = end;
  }
}
