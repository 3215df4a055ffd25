// Every benchmark, one after the other. Nothing here is a test: figures depend on the machine and its load.
import { benchBroker } from "./broker.ts";

console.log("Codecs, wasm against TypeScript");
await import("./codec.ts");
console.log("\nThe broker");
await benchBroker();
