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
  private byteView: Uint8Array;
  private view: DataView;

  constructor(module: WebAssembly.Module) {
    this.exports = new WebAssembly.Instance(module, {}).exports as unknown as KernelExports;
    this.batch = this.exports.batchAddress();
    this.table = this.exports.tableAddress();
    this.byteView = new Uint8Array(this.exports.memory.buffer);
    this.view = new DataView(this.exports.memory.buffer);
  }

  private renew(): void {
    const { buffer } = this.exports.memory;
    // A grown memory has a new buffer, and the old views have lost their bytes.
    if (this.byteView.buffer === buffer) return;
    this.byteView = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }

  get bytes(): Uint8Array {
    this.renew();
    return this.byteView;
  }

  get data(): DataView {
    this.renew();
    return this.view;
  }

  /** Makes room for a batch of so many bytes. */
  reserve(size: number): void {
    assert(this.exports.reserve(size) === 1, "wasm memory is exhausted");
  }

  /** A copy of the first bytes at the batch's address. */
  copyBatch(size: number): Uint8Array {
    return this.bytes.slice(this.batch, this.batch + size);
  }

  copyTable(size: number): ArrayBuffer {
    return this.bytes.slice(this.table, this.table + size).buffer;
  }
}
