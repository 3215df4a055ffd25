/**
 * How long a message takes: to its confirm, to its delivery, and there and back. Alone, at 50 a second, and at 70 % of
 * the most that was reached just before. What a confirm takes is compared with a bare insert of SQLite in an object.
 */
import { connect, type Client } from "../../src/client/index.ts";
import { ECHO, INSERT } from "./bound-kinds.ts";
import { startBound } from "./bound-process.ts";
import { startShippedBroker } from "./broker-process.ts";
import { hold, type Contestant } from "./contest.ts";
import { exchange, openSocket } from "./frames.ts";
import { readOptions, type BenchOptions } from "./options.ts";
import { printContest, printTable, writeResults } from "./report.ts";
import { atRate, mostPerSecond, oneAtATime, type Call, type Latency } from "./schedule.ts";

const ALONE = 200;
const LIGHT_PER_SECOND = 50;
const DURATION_MS = 5_000;
const LOADED_SHARE = 0.7;
const ROUNDS = 7;
const BESIDE_INSERT = "beside a bare insert";

const CONFIRM = "publish to confirm";
const DELIVERY = "publish to delivery";
const REPLY = "request to reply";

interface Subject {
  readonly name: string;
  readonly call: Call;
  /** To find the most it reaches. */
  readonly window: number;
  readonly count: number;
}

const body = new Uint8Array(100).fill(120);

async function benchLatency({ rounds, wants }: BenchOptions): Promise<void> {
  const broker = await startShippedBroker();
  const bound = await startBound();
  const client = connect({ url: broker.url });
  try {
    const [confirm, ...others] = [await confirms(client), await deliveries(client), await replies(client)];
    const alone = wants(BESIDE_INSERT) ? await compareAlone(confirm.call, bound.url, rounds(ROUNDS)) : null;
    const rows: { name: string; load: string; latency: Latency }[] = [];
    for (const { name, call, window, count } of [confirm, ...others].filter((one) => wants(one.name))) {
      await mostPerSecond(call, window, count);
      const most = await mostPerSecond(call, window, count);
      const loaded = most * LOADED_SHARE;
      const loads: readonly (readonly [string, () => Promise<Latency>])[] = [
        ["one at a time", () => oneAtATime(call, ALONE)],
        [`${LIGHT_PER_SECOND}/s`, () => atRate(call, LIGHT_PER_SECOND, DURATION_MS)],
        [`${Math.round(loaded).toLocaleString("en")}/s (70 %)`, () => atRate(call, loaded, DURATION_MS)],
      ];
      for (const [load, measure] of loads) rows.push({ name, load, latency: await measure() });
    }
    if (rows.length > 0) print(rows);
    writeResults("latency", { alone, rows });
  } finally {
    client.close();
    await bound.stop();
    await broker.stop();
  }
}

async function confirms(client: Client): Promise<Subject> {
  const queue = client.queue("confirms");
  await queue.declare();
  const call = async (): Promise<void> => void (await queue.publish(body));
  return { name: CONFIRM, call, window: 4_000, count: 200_000 };
}

/** The consumer is another client, as it would be. The first bytes of a body say whose delivery is awaited. */
async function deliveries(client: Client): Promise<Subject> {
  const queue = client.queue("deliveries");
  await queue.declare();
  const waiting = new Map<number, () => void>();
  let published = 0;
  await queue.consume(
    (message) => {
      const { buffer, byteOffset } = message.body;
      const number = new DataView(buffer, byteOffset).getUint32(0);
      waiting.get(number)!();
      waiting.delete(number);
    },
    { credit: 2_000 },
  ).ready;
  const call = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const number = published++;
      const bytes = body.slice();
      new DataView(bytes.buffer).setUint32(0, number);
      waiting.set(number, resolve);
      queue.publish(bytes).catch(reject);
    });
  return { name: DELIVERY, call, window: 4_000, count: 200_000 };
}

async function replies(client: Client): Promise<Subject> {
  await client.queue("requests").declare();
  const service = client.serve("requests", (request) => request.body.slice(), { concurrency: 500 });
  await service.ready;
  const call = async (): Promise<void> => void (await client.call("requests", body));
  return { name: REPLY, call, window: 200, count: 4_000 };
}

/** Alternately, because a disk's speed changes from minute to minute. */
async function compareAlone(confirm: Call, boundUrl: string, rounds: number): Promise<unknown> {
  const socket = await openSocket(boundUrl.replace("http", "ws"));
  const bare = (name: string, kind: number): Contestant => {
    const frame = new Uint8Array(body);
    frame[0] = kind;
    return {
      name,
      round: async () => {
        const { p50Ms } = await oneAtATime(
          async () => void (await exchange({ socket, frame, count: 1, window: 1 })),
          ALONE,
        );
        return 1_000 / p50Ms;
      },
    };
  };
  try {
    const ours: Contestant = {
      name: "publish to confirm, through the SDK",
      round: async () => 1_000 / (await oneAtATime(confirm, ALONE)).p50Ms,
    };
    const result = await hold({
      title: "one at a time: 1 s / p50",
      unit: "per second",
      rounds,
      contestants: [ours, bare("a bare insert in an object", INSERT), bare("a bare echo", ECHO)],
    });
    printContest(result);
    return result;
  } finally {
    socket.terminate();
  }
}

function print(rows: readonly { name: string; load: string; latency: Latency }[]): void {
  const ms = (value: number): string => `${value.toFixed(2)} ms`;
  console.log("\nlatency, from when a message was due");
  printTable(
    ["", "load", "p50", "p99", "p99.9"],
    rows.map(({ name, load, latency: { p50Ms, p99Ms, p999Ms } }) => [
      name,
      load,
      ms(p50Ms),
      ms(p99Ms),
      ms(p999Ms),
    ]),
  );
}

if (import.meta.main) {
  const parts = [BESIDE_INSERT, CONFIRM, DELIVERY, REPLY];
  await benchLatency(readOptions({ what: "latency, beside a bare insert", parts }));
}
