import type { Known } from "./known-options.ts";

/** How a publisher gathers, holds and sends messages. Each queue of a client has one, with these options. */
export interface PublisherOptions {
  /**
   * How long a message waits for company, at the most, while an earlier batch is unconfirmed. Without one it waits until the
   * end of the current turn, as all do with 0. Default 5.
   */
  readonly lingerMs?: number;
  /** Messages in a batch. Default 500; at most 4,096. */
  readonly batchMessagesMax?: number;
  /** Bytes in a batch, roughly. Default 256 KiB; at most 1.9 MB. A single larger message still goes, alone. */
  readonly batchBytesMax?: number;
  /** Batches sent and not yet confirmed. Default and at most 8, since the broker remembers that many. */
  readonly batchesInFlightMax?: number;
  /** Messages held here, those in flight included. Default 10,000. */
  readonly bufferMessagesMax?: number;
  /** Bytes of them. Default 16 MiB. */
  readonly bufferBytesMax?: number;
  /** When the buffer is full: `publish` waits for room (default), or throws `buffer_full`. */
  readonly whenFull?: "wait" | "throw";
  /** From `publish` to the confirm; then it rejects with `timeout`. Default: the client's `timeoutMs`. */
  readonly timeoutMs?: number;
}

export const PUBLISHER_OPTIONS: Known<PublisherOptions> = {
  lingerMs: true,
  batchMessagesMax: true,
  batchBytesMax: true,
  batchesInFlightMax: true,
  bufferMessagesMax: true,
  bufferBytesMax: true,
  whenFull: true,
  timeoutMs: true,
};
