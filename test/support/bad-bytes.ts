// Batches and frames that are whole, and ones that are not.
import { TypeScriptBatchCodec } from "../../src/protocol/typescript-batch-codec.ts";

const codec = new TypeScriptBatchCodec();

export function goodBatch(): Uint8Array {
  const batch = codec.encode(
    [{ routingKey: "k", body: new Uint8Array(9) }],
    { origin: 0, firstSequence: 0, timeMs: 0 },
    "client",
  );
  if (!batch.ok) throw new Error(batch.detail);
  return batch.value;
}

/** The same with one bit turned. */
export function damagedBatch(at: number): Uint8Array {
  const batch = goodBatch();
  batch[at]! ^= 1;
  return batch;
}

/** A binary frame that says its head has this size. */
export function headOf(bytes: Uint8Array, size: number): Uint8Array {
  new DataView(bytes.buffer).setUint32(0, size, true);
  return bytes;
}
