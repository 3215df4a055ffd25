/**
 * The broker end to end, through the public SDK and real sockets, with its storage on disk: publish and confirm,
 * publish to ack, and one message at a time. Answers are verified before anything is said. One machine runs the
 * broker and the client, so the figures are for comparing, not for planning.
 */
import { startBroker } from "../../examples/demo/broker.ts";
import { connect, type Client } from "../../src/client/index.ts";

const MESSAGES = 100_000;
const SINGLES = 300;
const body = new Uint8Array(100).fill(120);

export async function benchBroker(): Promise<void> {
  const broker = await startBroker();
  const client = connect({ url: broker.url });
  try {
    await endToEnd(client);
    await oneAtATime(client);
  } finally {
    client.close();
    await broker.stop();
  }
}

async function endToEnd(client: Client): Promise<void> {
  const queue = client.queue("bench");
  await queue.declare();
  const started = performance.now();
  let inFlight: Promise<unknown>[] = [];
  for (let i = 0; i < MESSAGES; i += 1_000) {
    inFlight.push(queue.publishMany(Array.from({ length: 1_000 }, () => ({ body }))));
    if (inFlight.length === 8) await inFlight.shift();
  }
  await Promise.all(inFlight);
  inFlight = [];
  const published = performance.now();
  let acked = 0;
  const consumer = queue.consume(() => void acked++, { credit: 2_000 });
  while ((await queue.inspect()).totals.acked < MESSAGES)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const drained = performance.now();
  await consumer.drain();
  if (acked !== MESSAGES) throw new Error(`${acked} of ${MESSAGES} were delivered`);
  say("published and confirmed", MESSAGES, published - started);
  say("delivered and acked from a backlog", MESSAGES, drained - published);
}

async function oneAtATime(client: Client): Promise<void> {
  const queue = client.queue("single");
  await queue.declare();
  await queue.publish(body);
  const times: number[] = [];
  for (let i = 0; i < SINGLES; i++) {
    const started = performance.now();
    await queue.publish(body);
    times.push(performance.now() - started);
  }
  if ((await queue.inspect()).counts.ready !== SINGLES + 1) throw new Error("a message is missing");
  times.sort((a, b) => a - b);
  const at = (share: number): string => times[Math.floor(times.length * share)]!.toFixed(2);
  console.log(
    `one at a time, publish to confirm (5 ms of it lingering): p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`,
  );
}

function say(what: string, messages: number, ms: number): void {
  console.log(`${what}: ${Math.round((messages * 1_000) / ms).toLocaleString("en")} messages/s`);
}
