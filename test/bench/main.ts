// Every benchmark, one after the other, each in a process of its own so that none warms up or burdens another.
// Nothing here is a test: figures depend on the machine and its load.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { readOptions } from "./options.ts";

const PARTS: readonly (readonly [file: string, what: string])[] = [
  ["codec.ts", "codecs, wasm against TypeScript"],
  ["matcher.ts", "topic matching, beside the libraries that brokers use"],
  ["durable.ts", "durable messages end to end, beside RabbitMQ and NATS JetStream"],
  ["fanout.ts", "fan-out to a thousand sockets, beside Mosquitto and aedes"],
  ["latency.ts", "latency, beside a bare insert"],
  ["bounds.ts", "what workerd and SQLite allow"],
  ["cost.ts", "rows and list price"],
  ["scaling.ts", "how it scales"],
  ["deaf.ts", "memory of peers that do not read"],
];

const { wants } = readOptions({
  what: "all benchmarks, one after the other",
  parts: PARTS.map(([file]) => file),
  quick: "smaller loads",
});
const parts = PARTS.filter(([file]) => wants(file));
// Those of --only are its own; the parts get the others as they were given.
const handedOn = withoutOnly(process.argv.slice(2));

const failed: string[] = [];
for (const [index, [file, what]] of parts.entries()) {
  console.log(`\n[${index + 1}/${parts.length}] ${what}`);
  const args = [join(import.meta.dirname, file), ...handedOn];
  const { status, signal } = spawnSync(process.execPath, args, { stdio: "inherit" });
  if (signal !== null || status === 130) process.exit(130);
  if (status !== 0) failed.push(file);
}
if (failed.length > 0) {
  console.error(`\nfailed: ${failed.join(", ")}`);
  process.exit(1);
}

function withoutOnly(args: readonly string[]): string[] {
  return args.filter((arg, i) => !arg.startsWith("--only") && args[i - 1] !== "--only");
}
