// `npm run sim -- --seed 8812 --steps 400` replays one history; `--seeds 1000` tries that many from the seed on.
// `--world routing` is of exchanges, hubs and subscribers; else it is of queues.
import { parseArgs } from "node:util";
import { loadRoutingSimulator } from "./routing/native.ts";
import { firstSteps, replayLine, shrink, simulate, type Failure } from "./simulator.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    steps: { type: "string" },
    world: { type: "string", default: "queues" },
    seeds: { type: "string", default: "1" },
    /** Go on after a failure, telling each in one line. */
    all: { type: "boolean", default: false },
  },
});
const first = Number(values.seed);
const count = Number(values.seeds);
const isRouting = values.world === "routing";
const steps = firstSteps(Number(values.steps ?? (isRouting ? 60 : 300)));
const run = isRouting ? loadRoutingSimulator().simulateRouting : simulate;

function tell(seed: number, failure: Failure, history: readonly string[]): void {
  console.error(`seed ${seed}, step ${failure.step}: ${failure.message}`);
  console.error(`${replayLine(seed, failure)}${isRouting ? " --world routing" : ""}`);
  if (values.all) return;
  if (isRouting) {
    console.error(`\n${history.join("\n")}`);
    return;
  }
  const kept = shrink(seed, steps, failure);
  const short = simulate(seed, kept);
  const lines = short.failure ? short.history : history;
  console.error(`\nmade shorter (steps ${kept.join(",")}):\n${lines.slice(-60).join("\n")}`);
  if (short.failure) console.error(short.failure.message);
}

let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  const { failure, history } = await run(seed, steps);
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
