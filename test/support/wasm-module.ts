// The kernels from disk, for tests in Node. `npm run build:wasm` makes the file.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const path = join(import.meta.dirname, "../../wasm/build/millrace.wasm");
// In Workers a module can't be made from bytes, so the platform's types have no constructor.
const Module = WebAssembly.Module as unknown as new (bytes: Uint8Array) => WebAssembly.Module;
let module: WebAssembly.Module | undefined;

export function loadWasmModule(): WebAssembly.Module {
  module ??= new Module(readFileSync(path));
  return module;
}
