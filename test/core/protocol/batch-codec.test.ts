import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { REASON, FIELD_NUMBER } from "../../../src/protocol/batch-refusals.ts";
import { FIELD, HEADER_KIND } from "../../../src/protocol/batch.ts";
import { BATCH_LIMITS } from "../../../src/protocol/limits.ts";
import { TypeScriptBatchCodec } from "../../../src/protocol/typescript-batch-codec.ts";
import { WasmBatchCodec } from "../../../src/protocol/wasm-batch-codec.ts";
import { batchCodecContract } from "../../contract/batch-codec.ts";
import { loadWasmModule } from "../../support/wasm-module.ts";

batchCodecContract("TypeScriptBatchCodec", () => new TypeScriptBatchCodec());
batchCodecContract("WasmBatchCodec", () => new WasmBatchCodec(loadWasmModule()));

/** The constants of a wasm source that are plain numbers. */
function constantsOf(file: string): Record<string, number> {
  const source = readFileSync(join(import.meta.dirname, "../../../wasm", file), "utf8");
  const found = source.matchAll(/^export const ([A-Z0-9_]+): \w+ = ([0-9a-fx_]+);/gm);
  return Object.fromEntries(
    Array.from(found, ([, name, value]) => [name!, Number(value!.replaceAll("_", ""))]),
  );
}

function upper(names: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(names).map(([name, value]) => [upperCase(name), value]));
}

function upperCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

it("has the same limits on both sides of the wasm line", () => {
  expect(constantsOf("limits.ts")).toEqual(upper(BATCH_LIMITS));
});

it("has the same reasons on both sides of the wasm line", () => {
  expect(constantsOf("refusals.ts")).toEqual(upper(REASON));
});

it("has the same fields and kinds on both sides of the wasm line", () => {
  const { timeMs, ...others } = FIELD_NUMBER;
  const kinds = Object.entries(HEADER_KIND).map(([name, value]) => [`KIND_${name.toUpperCase()}`, value]);
  const expected = { ...upper({ ...others, time: timeMs }), ...Object.fromEntries(kinds) };
  expect(constantsOf("format.ts")).toMatchObject(expected);
  for (const [name, bit] of Object.entries(FIELD)) {
    expect(1 << FIELD_NUMBER[(name === "time" ? "timeMs" : name) as keyof typeof FIELD_NUMBER]).toBe(bit);
  }
});

it("needs nothing from outside, so that `new Instance(module)` is enough", () => {
  expect(WebAssembly.Module.imports(loadWasmModule())).toEqual([]);
});
