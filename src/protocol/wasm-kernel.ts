// The wasm instance and the views on its memory. wasm/README.md has the table of the exports.
import { assert } from "./assert.ts";

export interface KernelExports {
  readonly memory: WebAssembly.Memory;
  batchAddress(): number;
  tableAddress(): number;
  stageAddress(): number;
  stageHeadersAddress(): number;
  stageBytesAddress(): number;
  reserve(bytes: number): number;
  scan(size: number, isClient: number): number;
  append(at: number, index: number, flags: number, isClient: number): number;
  seal(size: number, count: number): number;
  checksum(size: number, before: number): number;
  refusedRecord(): number;
  refusedField(): number;
}

/** What the kernels answer to a size that is not in memory. */
export const OUTSIDE = -0x7fffffff;

/**
 * No call leaves anything in the memory that a later call reads, so one instance serves a whole isolate, and
 * nothing has to be thrown away after a failure. Addresses never change; views do, whenever memory has grown.
 */
export class WasmKernel {
  readonly exports: KernelExports;
  readonly batch: number;
  readonly table: number;
  /** The whole memory. Fetch it anew after `reserve` and `append`, which may grow the memory. */
  bytes: Uint8Array<ArrayBuffer>;
  data: DataView;

  constructor(module: WebAssembly.Module) {
    this.exports = new WebAssembly.Instance(module, {}).exports as unknown as KernelExports;
    this.batch = this.exports.batchAddress();
    this.table = this.exports.tableAddress();
    this.bytes = new Uint8Array(this.exports.memory.buffer);
    this.data = new DataView(this.exports.memory.buffer);
  }

  /** A grown memory has a new buffer, and views on the old one have lost their bytes. */
  private renewViews(): void {
    const { buffer } = this.exports.memory;
    if (this.bytes.buffer === buffer) return;
    this.bytes = new Uint8Array(buffer);
    this.data = new DataView(buffer);
  }

  /** Makes room for a batch of so many bytes. */
  reserve(size: number): void {
    assert(this.exports.reserve(size) === 1, "wasm memory is exhausted");
    this.renewViews();
  }

  append(at: number, index: number, flags: number, isClient: number): number {
    const end = this.exports.append(at, index, flags, isClient);
    this.renewViews();
    return end;
  }

  /** A copy of the first bytes at the batch's address. */
  copyBatch(size: number): Uint8Array {
    return this.bytes.slice(this.batch, this.batch + size);
  }

  copyTable(size: number): ArrayBuffer {
    return this.bytes.slice(this.table, this.table + size).buffer;
  }
}
