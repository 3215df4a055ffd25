/** How the matcher grows with the patterns that are bound. In plain Node: it is one wasm instance and no more. */
import { TypeScriptBatchCodec } from "../../src/protocol/typescript-batch-codec.ts";
import { RoutingKeys, SLOT_MAX } from "../../src/routing/matcher.ts";
import { WasmMatcher } from "../../src/routing/wasm-matcher.ts";
import { loadWasmModule } from "../support/wasm-module.ts";
import { spread } from "./contest.ts";
import { cpuMicrosOf } from "./cpu-time.ts";
import { short } from "./plot.ts";
import { printTable } from "./report.ts";
import { Fleet, MIXES } from "./subscriptions.ts";

const BATCH_TOPICS = 100;
const ROUNDS = 7;
const codec = new TypeScriptBatchCodec();

export interface PatternPoint {
  readonly patterns: number;
  /** Of CPU. */
  readonly topicMicros: number;
  readonly slotsPerTopic: number;
  readonly bytesPerPattern: number;
  readonly addMicros: number;
}

/** Topics are all different from round to round, so nothing is answered from what was found before. */
export function scalePatterns(counts: readonly number[], topics: number): PatternPoint[] {
  // The first runs are those of a compiler that has not seen the code yet.
  measure(10_000, topics);
  const points = counts.map((count) => {
    console.error(`patterns: ${count.toLocaleString("en")}`);
    return measure(count, topics);
  });
  console.log("\nTopic patterns in one matcher, batches of 100 topics that all differ");
  printTable(
    ["patterns", "CPU µs per topic", "matches per topic", "bytes per pattern", "CPU µs to add one"],
    points.map((point) => [
      short(point.patterns),
      point.topicMicros.toFixed(2),
      point.slotsPerTopic.toFixed(2),
      point.bytesPerPattern.toFixed(0),
      point.addMicros.toFixed(2),
    ]),
  );
  return points;
}

function measure(count: number, topicsPerRound: number): PatternPoint {
  const fleet = new Fleet(count, 7);
  const patterns = fleet.patterns(MIXES[1]!, count);
  const topics = fleet.topics(patterns, topicsPerRound * (ROUNDS + 1));
  const matcher = new WasmMatcher(loadWasmModule());
  const addMicros = cpuMicrosOf(() => {
    for (const [i, pattern] of patterns.entries()) matcher.add(pattern, i % (SLOT_MAX + 1));
  });
  const times: number[] = [];
  let slots = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    const batches = batchesOf(topics.slice(round * topicsPerRound, (round + 1) * topicsPerRound));
    const micros = cpuMicrosOf(() => {
      for (const keys of batches) {
        const matches = matcher.matchAll(keys);
        for (let k = 0; k < matches.count; k++) {
          const indexes: number[] = [];
          matches.addIndexes(k, indexes);
          slots += indexes.length;
        }
      }
    });
    if (round > 0) times.push(micros / topicsPerRound);
  }
  verify(matcher, topics);
  return {
    patterns: count,
    topicMicros: spread(times).median,
    slotsPerTopic: slots / (topicsPerRound * (ROUNDS + 1)),
    bytesPerPattern: matcher.memoryBytes / count,
    addMicros: addMicros / count,
  };
}

/** What is found in a batch is what is found one by one; the matcher's bench compares with another library. */
function verify(matcher: WasmMatcher, topics: readonly string[]): void {
  const some = topics.slice(0, BATCH_TOPICS);
  const found = some.map((): number[] => []);
  const matches = matcher.matchAll(batchesOf(some)[0]!);
  for (let k = 0; k < matches.count; k++) {
    const indexes: number[] = [];
    matches.addIndexes(k, indexes);
    for (const index of indexes) found[index]!.push(matches.slot(k));
  }
  for (const [i, topic] of some.entries()) {
    const single = [...matcher.match(topic)].sort((a, b) => a - b);
    const inBatch = found[i]!.sort((a, b) => a - b);
    if (single.join() !== inBatch.join())
      throw new Error(`two answers for ${topic}: ${single.join()} and ${inBatch.join()}`);
  }
}

function batchesOf(topics: readonly string[]): RoutingKeys[] {
  const batches: RoutingKeys[] = [];
  for (let first = 0; first < topics.length; first += BATCH_TOPICS) {
    const records = topics
      .slice(first, first + BATCH_TOPICS)
      .map((routingKey) => ({ routingKey, body: new Uint8Array(100) }));
    const encoded = codec.encode(records, { origin: 1, firstSequence: 1, timeMs: 1 }, "client");
    if (!encoded.ok) throw new Error(encoded.detail);
    const scanned = codec.scan(encoded.value, "client");
    if (!scanned.ok) throw new Error(scanned.detail);
    batches.push(new RoutingKeys(encoded.value, scanned.value));
  }
  return batches;
}
