// `npm run sim -- --seed 8812 --steps 400` replays one history; `--seeds 1000` tries that many from the seed on.
// `--world routing` is of exchanges, hubs and subscribers, `--world partitions` of queues that are spread over objects and
// grow; else it is of the core of queues.
import { parseArgs } from "node:util";
import { loadPartitionsSimulator, loadRoutingSimulator } from "./routing/native.ts";
import { firstSteps, replayLine, shrink, simulate, type Failure } from "./simulator.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    steps: { type: "string" },
    world: { type: "string", default: "queues" },
    seeds: { type: "string", default: "1" },
    /** Queues only with what the first histories had. */
    plain: { type: "boolean", default: false },
    /** Go on after a failure, telling each in one line. */
    all: { type: "boolean", default: false },
  },
});
const first = Number(values.seed);
const count = Number(values.seeds);
const hosted = {
  routing: { steps: 60, load: () => loadRoutingSimulator().simulateRouting },
  partitions: { steps: 80, load: () => loadPartitionsSimulator().simulatePartitions },
}[values.world];
const steps = firstSteps(Number(values.steps ?? hosted?.steps ?? 300));
const options = { isPlain: values.plain };
const run = hosted?.load() ?? simulate;

function tell(seed: number, failure: Failure, history: readonly string[]): void {
  console.error(`seed ${seed}, step ${failure.step}: ${failure.message}`);
  console.error(`${replayLine(seed, failure, options)}${hosted ? ` --world ${values.world}` : ""}`);
  if (values.all) return;
  if (hosted) {
    console.error(`\n${history.join("\n")}`);
    return;
  }
  const kept = shrink(seed, steps, failure, options);
  const short = simulate(seed, kept, options);
  const lines = short.failure ? short.history : history;
  console.error(`\nmade shorter (steps ${kept.join(",")}):\n${lines.slice(-60).join("\n")}`);
  if (short.failure) console.error(short.failure.message);
}

let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  const { failure, history } = await run(seed, steps, options);
  if (failure) {
    failed++;
    tell(seed, failure, history);
    if (!values.all) break;
  }
  const done = seed - first + 1;
  if (done % 100 === 0) console.log(`${done} of ${count} histories, ${failed} failed`);
}
if (failed === 0) console.log(`${count} histories of ${steps.length} steps, none failed`);
process.exitCode = failed === 0 ? 0 : 1;
