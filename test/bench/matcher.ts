/**
 * The topic matcher beside qlobber, the library of brokers in JavaScript: `npm run bench:matcher`. What is bound and
 * published is in subscriptions.ts, what came of it in matcher-notes.md.
 *
 * Both get a topic as a broker has it: qlobber a string, ours the batch that the message came in, its table of records
 * and an index. Answers are compared for every topic before a clock runs, and read by both in every round.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Qlobber, QlobberDedup } from "qlobber";
import { TypeScriptBatchCodec } from "../../src/protocol/typescript-batch-codec.ts";
import type { RecordTable } from "../../src/protocol/batch.ts";
import { RoutingKeys, SLOT_MAX } from "../../src/routing/matcher.ts";
import { WasmMatcher, type TrieExports } from "../../src/routing/wasm-matcher.ts";
import { loadWasmModule } from "../support/wasm-module.ts";
import { hold, spread, type Contestant, type ContestResult } from "./contest.ts";
import { amount, printContest, printTable, writeResults } from "./report.ts";
import { Fleet, MIXES, busyTopics, type Mix } from "./subscriptions.ts";

const COUNTS = [1_000, 10_000, 100_000];
const MEMORY_COUNTS = [1_000, 10_000, 100_000, 1_000_000];
const ROUNDS = 7;
/** One for each round and one to warm up: nothing that is distinct comes twice. */
const STREAMS = ROUNDS + 1;
const STREAM_TOPICS = 10_000;
const BATCH_TOPICS = 100;
const BUSY_TOPICS = 1_000;
const HEADLINE = MIXES[1]!;
const OPTIONS = { match_empty_levels: true };

const codec = new TypeScriptBatchCodec();
const body = new Uint8Array(100);

interface Batch {
  readonly bytes: Uint8Array;
  readonly table: RecordTable;
}

/** The topics of one round, as both want them. */
interface Stream {
  readonly topics: readonly string[];
  readonly batches: readonly Batch[];
  /** What reading all answers must come to, by the kind of answer. */
  readonly sums: { single: number; batch: number; plain: number; dedup: number };
}

interface Peers {
  readonly plain: Qlobber<number>;
  readonly dedup: QlobberDedup<number>;
}

function slotOf(index: number): number {
  return index % (SLOT_MAX + 1);
}

function batchOf(topics: readonly string[]): Batch {
  const records = topics.map((routingKey) => ({ routingKey, body }));
  const encoded = codec.encode(records, { origin: 1, firstSequence: 1, timeMs: 1 }, "client");
  assert(encoded.ok);
  const scanned = codec.scan(encoded.value, "client");
  assert(scanned.ok);
  return { bytes: encoded.value, table: scanned.value };
}

/** Compares all answers, and adds up what each kind of answer holds. */
function streamOf(topics: readonly string[], ours: WasmMatcher, { plain, dedup }: Peers): Stream {
  const sums = { single: 0, batch: 0, plain: 0, dedup: 0 };
  const batches: Batch[] = [];
  for (let first = 0; first < topics.length; first += BATCH_TOPICS) {
    const some = topics.slice(first, first + BATCH_TOPICS);
    const expected = some.map((topic) => [...dedup.match(topic)].sort((a, b) => a - b));
    const batch = batchOf(some);
    batches.push(batch);
    for (const [i, topic] of some.entries()) {
      const values = plain.match(topic);
      assert.deepEqual(
        [...new Set(values)].sort((a, b) => a - b),
        expected[i],
        topic,
      );
      assert.deepEqual(ours.match(topic), expected[i], topic);
      sums.plain += values.reduce((sum, value) => sum + value, 0);
      sums.dedup += expected[i]!.reduce((sum, value) => sum + value, 0);
    }
    const found: number[][] = some.map(() => []);
    const matches = ours.matchAll(new RoutingKeys(batch.bytes, batch.table));
    for (let k = 0; k < matches.count; k++) {
      const indexes: number[] = [];
      matches.addIndexes(k, indexes);
      for (const index of indexes) found[index]!.push(matches.slot(k));
      sums.batch += matches.slot(k);
    }
    assert.deepEqual(found, expected);
  }
  sums.single = sums.dedup;
  // A string that was put together is read more slowly than one that came from bytes, as a broker's do.
  return { topics: topics.map((topic) => Buffer.from(topic).toString("latin1")), batches, sums };
}

/** A round takes the next stream, and says topics a second. */
function contestant(
  name: string,
  streams: readonly Stream[],
  kind: keyof Stream["sums"],
  run: (stream: Stream) => number,
): Contestant {
  let round = 0;
  return {
    name,
    round: () => {
      const stream = streams[round++ % streams.length]!;
      const started = performance.now();
      const sum = run(stream);
      const ms = performance.now() - started;
      assert.equal(sum, stream.sums[kind], name);
      return (stream.topics.length * 1_000) / ms;
    },
  };
}

function onePerCall(ours: WasmMatcher, { batches }: Stream): number {
  let sum = 0;
  for (const { bytes, table } of batches) {
    for (let i = 0; i < table.count; i++) {
      const matches = ours.matchAll(new RoutingKeys(bytes, table, i, 1));
      for (let k = 0; k < matches.count; k++) sum += matches.slot(k);
    }
  }
  return sum;
}

function batchPerCall(ours: WasmMatcher, { batches }: Stream): number {
  let sum = 0;
  for (const { bytes, table } of batches) {
    const matches = ours.matchAll(new RoutingKeys(bytes, table));
    for (let k = 0; k < matches.count; k++) sum += matches.slot(k);
  }
  return sum;
}

function stringPerCall(ours: WasmMatcher, { topics }: Stream): number {
  let sum = 0;
  for (const topic of topics) for (const slot of ours.match(topic)) sum += slot;
  return sum;
}

/** What no matcher behind this line can do without: the key is copied, and there is a call. It answers nothing. */
function floor(streams: readonly Stream[]): Contestant {
  const { exports } = new WebAssembly.Instance(loadWasmModule(), {});
  const kernel = exports as unknown as TrieExports;
  const memory = new Uint8Array(kernel.memory.buffer);
  const to = kernel.trieKeysAddress();
  return contestant("(copied, and an empty call)", streams, "single", ({ batches, sums }) => {
    for (const { bytes, table } of batches) {
      for (let i = 0; i < table.count; i++) {
        const offset = table.routingKeyOffset(i);
        const size = table.routingKeySize(i);
        for (let k = 0; k < size; k++) memory[to + k] = bytes[offset + k]!;
        kernel.trieStatesVisited();
      }
    }
    return sums.single;
  });
}

function peerContestants({ plain, dedup }: Peers, streams: readonly Stream[]): Contestant[] {
  return [
    contestant("qlobber", streams, "plain", ({ topics }) => {
      let sum = 0;
      for (const topic of topics) for (const value of plain.match(topic)) sum += value;
      return sum;
    }),
    contestant("qlobber, each value once", streams, "dedup", ({ topics }) => {
      let sum = 0;
      for (const topic of topics) for (const value of dedup.match(topic)) sum += value;
      return sum;
    }),
  ];
}

function bound(patterns: readonly string[]): WasmMatcher {
  const matcher = new WasmMatcher(loadWasmModule());
  for (const [i, pattern] of patterns.entries()) matcher.add(pattern, slotOf(i));
  return matcher;
}

function boundPeers(patterns: readonly string[]): Peers {
  const peers = { plain: new Qlobber<number>(OPTIONS), dedup: new QlobberDedup<number>(OPTIONS) };
  for (const [i, pattern] of patterns.entries()) {
    peers.plain.add(pattern, slotOf(i));
    peers.dedup.add(pattern, slotOf(i));
  }
  return peers;
}

/** Each of ours has a matcher of its own, so that none knows a topic from another. */
async function holdOne(
  title: string,
  patterns: readonly string[],
  lists: readonly string[][],
): Promise<ContestResult[]> {
  const peers = boundPeers(patterns);
  const checked = bound(patterns);
  const streams = lists.map((topics) => streamOf(topics, checked, peers));
  const [single, text, batch] = [bound(patterns), bound(patterns), bound(patterns)];
  const results = [
    await hold({
      title: `One topic per call: ${title}`,
      unit: "topics/s",
      rounds: ROUNDS,
      contestants: [
        contestant("millrace", streams, "single", (stream) => onePerCall(single, stream)),
        ...peerContestants(peers, streams),
        contestant("millrace, from a string", streams, "single", (stream) => stringPerCall(text, stream)),
        floor(streams),
      ],
    }),
    await hold({
      title: `A batch of ${BATCH_TOPICS} per call: ${title}`,
      unit: "topics/s",
      rounds: ROUNDS,
      contestants: [
        contestant("millrace", streams, "batch", (stream) => batchPerCall(batch, stream)),
        ...peerContestants(peers, streams),
      ],
    }),
  ];
  for (const result of results) printContest(result);
  return results;
}

async function holdMix(mix: Mix, count: number): Promise<ContestResult[]> {
  const fleet = new Fleet(count, 7);
  const patterns = fleet.patterns(mix, count);
  const topics = fleet.topics(patterns, STREAMS * STREAM_TOPICS);
  const parts = Array.from({ length: STREAMS }, (_, i) => i);
  const distinct = parts.map((i) => topics.slice(i * STREAM_TOPICS, (i + 1) * STREAM_TOPICS));
  const busy = parts.map((i) => busyTopics(topics.slice(0, BUSY_TOPICS), STREAM_TOPICS, i));
  const title = `${mix.name}, ${count.toLocaleString("en")} patterns`;
  return [
    ...(await holdOne(`${title}, no topic twice`, patterns, distinct)),
    ...(await holdOne(`${title}, ${BUSY_TOPICS.toLocaleString("en")} busy topics`, patterns, busy)),
  ];
}

interface Binding {
  readonly patterns: number;
  readonly bytesPerPattern: number;
  readonly microsecondsPerPattern: number;
  readonly qlobberMicrosecondsPerPattern: number;
}

/** What a set of patterns costs to bind and to hold. */
function bindMany(count: number): Binding {
  const patterns = new Fleet(count, 7).patterns(HEADLINE, count);
  const started = performance.now();
  const matcher = bound(patterns);
  const between = performance.now();
  const peer = new Qlobber<number>(OPTIONS);
  for (const [i, pattern] of patterns.entries()) peer.add(pattern, slotOf(i));
  return {
    patterns: count,
    bytesPerPattern: matcher.memoryBytes / count,
    microsecondsPerPattern: ((between - started) * 1_000) / count,
    qlobberMicrosecondsPerPattern: ((performance.now() - between) * 1_000) / count,
  };
}

function bindAll(): readonly Binding[] {
  bindMany(MEMORY_COUNTS[0]!);
  const bindings = MEMORY_COUNTS.map(bindMany);
  console.log(`\nBinding, ${HEADLINE.name}: memory is the whole instance's`);
  printTable(
    ["patterns", "bytes each", "µs each", "qlobber µs each"],
    bindings.map((binding) => [
      binding.patterns.toLocaleString("en"),
      amount(binding.bytesPerPattern),
      amount(binding.microsecondsPerPattern),
      amount(binding.qlobberMicrosecondsPerPattern),
    ]),
  );
  return bindings;
}

interface ModuleCost {
  readonly bytes: number;
  readonly gzipBytes: number;
  readonly compileMs: number;
  readonly instantiateMs: number;
}

function measureModule(): ModuleCost {
  const bytes = readFileSync(join(import.meta.dirname, "../../wasm/build/millrace.wasm"));
  const Module = WebAssembly.Module as unknown as new (bytes: Uint8Array) => WebAssembly.Module;
  const timed = (work: () => unknown): number => {
    const times = Array.from({ length: 21 }, () => {
      const started = performance.now();
      work();
      return performance.now() - started;
    });
    return spread(times).median;
  };
  const module = new Module(bytes);
  const cost = {
    bytes: bytes.length,
    gzipBytes: gzipSync(bytes).length,
    compileMs: timed(() => new Module(bytes)),
    instantiateMs: timed(() => new WasmMatcher(module)),
  };
  const sizes = `${amount(cost.bytes)} bytes, ${amount(cost.gzipBytes)} gzipped`;
  console.log(`\nThe module: ${sizes}; compiling ${amount(cost.compileMs)} ms,`);
  console.log(`a matcher of its own ${amount(cost.instantiateMs)} ms`);
  return cost;
}

const results: ContestResult[] = [];
for (const mix of MIXES) for (const count of COUNTS) results.push(...(await holdMix(mix, count)));
writeResults("matcher", { contests: results, bindings: bindAll(), module: measureModule() });
