/** Messages end to end by the size of their bodies: published, confirmed, delivered and acked, over two sockets. */
import { declareQueue, expectAcked, openConsumer, takeAll } from "./cost-queue-flows.ts";
import { startCountedBroker, type CountedBroker } from "./counted-broker.ts";
import { short } from "./plot.ts";
import { printTable } from "./report.ts";
import { batchOf, Wire } from "./wire.ts";

const IN_FLIGHT = 4;
const BATCH_MESSAGES_MAX = 1_000;
const BATCH_BYTES_MAX = 1_100_000;

export interface BodyPoint {
  readonly bodyBytes: number;
  readonly batch: number;
  readonly messagesPerSecond: number;
  readonly megabytesPerSecond: number;
  /** Of the broker's process. */
  readonly cpuMicros: number;
  readonly cpuMsPerMegabyte: number;
}

export async function scaleBodies(sizes: readonly number[], totalBytes: number): Promise<BodyPoint[]> {
  const broker = await startCountedBroker();
  const points: BodyPoint[] = [];
  try {
    for (const bodyBytes of sizes) {
      console.error(`body: ${bodyBytes.toLocaleString("en")} bytes`);
      points.push(await measure(broker, bodyBytes, totalBytes));
    }
  } finally {
    await broker.stop();
  }
  console.log(`\nBodies end to end, ${IN_FLIGHT} frames of up to 1,000 messages or 1 MiB on their way`);
  printTable(
    ["bytes of a body", "in a frame", "messages/s", "MB/s", "CPU µs a message", "CPU ms a MB"],
    points.map((point) => [
      short(point.bodyBytes),
      String(point.batch),
      Math.round(point.messagesPerSecond).toLocaleString("en"),
      point.megabytesPerSecond.toPrecision(3),
      point.cpuMicros.toPrecision(3),
      point.cpuMsPerMegabyte.toPrecision(3),
    ]),
  );
  return points;
}

async function measure(broker: CountedBroker, bodyBytes: number, totalBytes: number): Promise<BodyPoint> {
  const { url } = broker;
  const queue = await declareQueue(url);
  const producer = await Wire.open(url, queue);
  const consumer = await openConsumer(url, queue, 4_096);
  const batch = Math.max(1, Math.min(BATCH_MESSAGES_MAX, Math.floor(BATCH_BYTES_MAX / (bodyBytes + 40))));
  const body = new Uint8Array(bodyBytes).fill(120);
  const frame = batchOf(Array.from({ length: batch }, () => ({ body })));
  const rounds = Math.max(20, Math.min(200, Math.round(totalBytes / (batch * bodyBytes))));
  const run = async (frames: number): Promise<void> => {
    const taken = takeAll(consumer, frames * batch);
    for (let sent = 0, confirmed = 0; confirmed < frames; confirmed++) {
      for (; sent < frames && sent - confirmed < IN_FLIGHT; sent++) {
        producer.send({ type: "publish", ref: sent }, frame);
      }
      await producer.next("confirm");
    }
    await taken;
  };
  await run(IN_FLIGHT);
  const cpuBeforeMs = broker.cpuMs();
  const started = performance.now();
  await run(rounds);
  const seconds = (performance.now() - started) / 1_000;
  const cpuMs = broker.cpuMs() - cpuBeforeMs;
  await expectAcked(url, queue, (rounds + IN_FLIGHT) * batch);
  producer.close();
  consumer.close();
  const messages = rounds * batch;
  return {
    bodyBytes,
    batch,
    messagesPerSecond: messages / seconds,
    cpuMicros: (cpuMs * 1_000) / messages,
    cpuMsPerMegabyte: (cpuMs * 1e6) / (messages * bodyBytes),
    megabytesPerSecond: (messages * bodyBytes) / 1e6 / seconds,
  };
}
