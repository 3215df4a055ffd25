/**
 * The topic matcher beside qlobber, the library of brokers in JavaScript: `npm run bench:matcher`. What is bound and
 * published is in subscriptions.ts, what came of it in matcher-notes.md.
 *
 * Both get a topic as a broker has it: qlobber a string, ours the batch that the message came in, its table of records
 * and an index. Answers are compared for every topic before a clock runs, and read by both in every round.
 *
 * A round is told by the median of its hundreds of topics. So neither what other work on the machine took from it counts,
 * nor a collection of garbage, whoever made it.
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
import { readOptions } from "./options.ts";
import { amount, printContest, printTable, writeResults } from "./report.ts";
import { Fleet, MIXES, busyTopics, type Mix } from "./subscriptions.ts";

const COUNTS = [1_000, 10_000, 100_000];
const MEMORY_COUNTS = [1_000, 10_000, 100_000, 1_000_000];
const BINDING = "binding";
const MODULE = "module";
const options = readOptions({
  what: "topic matching, beside qlobber",
  parts: [...MIXES.flatMap((mix) => COUNTS.map((count) => partOf(mix, count))), BINDING, MODULE],
});
const ROUNDS = options.rounds(7);
/** One for each round and one to warm up. */
const STREAMS = ROUNDS + 1;
const STREAM_TOPICS = 10_000;
const BATCH_TOPICS = 100;
const BUSY_TOPICS = 1_000;
const HEADLINE = MIXES[1]!;
const OPTIONS = { match_empty_levels: true };

const codec = new TypeScriptBatchCodec();
const body = new Uint8Array(100);

/** A hundred topics as both want them. */
interface Hundred {
  readonly topics: readonly string[];
  readonly bytes: Uint8Array;
  readonly table: RecordTable;
}

/** The topics of one round. */
interface Stream {
  readonly hundreds: readonly Hundred[];
  /** What reading all answers must come to, by the kind of answer. */
  readonly sums: { single: number; batch: number; plain: number; dedup: number; floor: number };
}

interface Peers {
  readonly plain: Qlobber<number>;
  readonly dedup: QlobberDedup<number>;
}

function partOf(mix: Mix, count: number): string {
  return `${mix.name}, ${count.toLocaleString("en")} patterns`;
}

function slotOf(index: number): number {
  return index % (SLOT_MAX + 1);
}

function hundredOf(texts: readonly string[]): Hundred {
  // A string that was put together is read more slowly than one that came from bytes, as a broker's do.
  const topics = texts.map((text) => Buffer.from(text).toString("latin1"));
  const records = topics.map((routingKey) => ({ routingKey, body }));
  const encoded = codec.encode(records, { origin: 1, firstSequence: 1, timeMs: 1 }, "client");
  assert(encoded.ok);
  const scanned = codec.scan(encoded.value, "client");
  assert(scanned.ok);
  return { topics, bytes: encoded.value, table: scanned.value };
}

/** Compares all answers, and adds up what each kind of answer holds. */
function streamOf(topics: readonly string[], ours: WasmMatcher, { plain, dedup }: Peers): Stream {
  const sums = { single: 0, batch: 0, plain: 0, dedup: 0, floor: 0 };
  const hundreds: Hundred[] = [];
  for (let first = 0; first < topics.length; first += BATCH_TOPICS) {
    const some = topics.slice(first, first + BATCH_TOPICS);
    const expected = some.map((topic) => [...dedup.match(topic)].sort((a, b) => a - b));
    const hundred = hundredOf(some);
    hundreds.push(hundred);
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
    const matches = ours.matchAll(new RoutingKeys(hundred.bytes, hundred.table));
    for (let k = 0; k < matches.count; k++) {
      const indexes: number[] = [];
      matches.addIndexes(k, indexes);
      for (const index of indexes) found[index]!.push(matches.slot(k));
      sums.batch += matches.slot(k);
    }
    for (const slots of found) slots.sort((a, b) => a - b);
    assert.deepEqual(found, expected);
  }
  sums.single = sums.dedup;
  return { hundreds, sums };
}

/** A round takes the next stream, a hundred topics at a time, and says topics a second. */
function contestant(
  name: string,
  streams: readonly Stream[],
  kind: keyof Stream["sums"],
  run: (hundred: Hundred) => number,
): Contestant {
  let round = 0;
  return {
    name,
    round: () => {
      const { hundreds, sums } = streams[round++ % streams.length]!;
      let sum = 0;
      const times = hundreds.map((hundred) => {
        const started = performance.now();
        sum += run(hundred);
        return performance.now() - started;
      });
      assert.equal(sum, sums[kind], name);
      return (BATCH_TOPICS * 1_000) / spread(times).median;
    },
  };
}

function onePerCall(ours: WasmMatcher, { bytes, table }: Hundred): number {
  let sum = 0;
  for (let i = 0; i < table.count; i++) {
    const matches = ours.matchAll(new RoutingKeys(bytes, table, i, 1));
    for (let k = 0; k < matches.count; k++) sum += matches.slot(k);
  }
  return sum;
}

function batchPerCall(ours: WasmMatcher, { bytes, table }: Hundred): number {
  let sum = 0;
  const matches = ours.matchAll(new RoutingKeys(bytes, table));
  for (let k = 0; k < matches.count; k++) sum += matches.slot(k);
  return sum;
}

function stringPerCall(ours: WasmMatcher, { topics }: Hundred): number {
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
  return contestant("(copied, and an empty call)", streams, "floor", ({ bytes, table }) => {
    for (let i = 0; i < table.count; i++) {
      const offset = table.routingKeyOffset(i);
      const size = table.routingKeySize(i);
      for (let k = 0; k < size; k++) memory[to + k] = bytes[offset + k]!;
      kernel.trieStatesVisited();
    }
    return 0;
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
        contestant("millrace", streams, "single", (hundred) => onePerCall(single, hundred)),
        ...peerContestants(peers, streams),
        contestant("millrace, from a string", streams, "single", (hundred) => stringPerCall(text, hundred)),
        floor(streams),
      ],
    }),
    await hold({
      title: `A batch of ${BATCH_TOPICS} per call: ${title}`,
      unit: "topics/s",
      rounds: ROUNDS,
      contestants: [
        contestant("millrace", streams, "batch", (hundred) => batchPerCall(batch, hundred)),
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
  // A small fleet has not so many topics that its devices would not be outnumbered by unknown ones.
  const topics = fleet.topics(patterns, Math.min(8 * count, STREAMS * STREAM_TOPICS));
  const parts = Array.from({ length: STREAMS }, (_, i) => i);
  const rare = parts.map((part) =>
    Array.from({ length: STREAM_TOPICS }, (_, i) => topics[(part * STREAM_TOPICS + i) % topics.length]!),
  );
  const busy = parts.map((i) => busyTopics(topics.slice(0, BUSY_TOPICS), STREAM_TOPICS, i));
  const title = `${mix.name}, ${count.toLocaleString("en")} patterns`;
  return [
    ...(await holdOne(`${title}, topics that don't come back soon`, patterns, rare)),
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
  const timed = (work: (turn: number) => unknown): number => {
    const times = Array.from({ length: 21 }, (_, turn) => {
      const started = performance.now();
      work(turn);
      return performance.now() - started;
    });
    return spread(times).median;
  };
  // A section that nobody reads makes each another module: one that is known is not compiled again.
  const modules = Array.from({ length: 21 }, (_, turn) =>
    Buffer.concat([bytes, Buffer.from([0, 3, 1, 120, turn])]),
  );
  const module = new Module(bytes);
  const cost = {
    bytes: bytes.length,
    gzipBytes: gzipSync(bytes).length,
    compileMs: timed((turn) => new Module(modules[turn])),
    instantiateMs: timed(() => new WasmMatcher(module)),
  };
  const sizes = `${amount(cost.bytes)} bytes, ${amount(cost.gzipBytes)} gzipped`;
  console.log(`\nThe module: ${sizes}; compiling ${amount(cost.compileMs)} ms,`);
  console.log(`a matcher of its own ${amount(cost.instantiateMs)} ms`);
  return cost;
}

const results: ContestResult[] = [];
for (const mix of MIXES) {
  for (const count of COUNTS)
    if (options.wants(partOf(mix, count))) results.push(...(await holdMix(mix, count)));
}
const bindings = options.wants(BINDING) ? bindAll() : [];
const module = options.wants(MODULE) ? measureModule() : null;
writeResults("matcher", { contests: results, bindings, module });
