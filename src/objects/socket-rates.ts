// How fast each socket on a queue may publish. A bucket is memory: after a sleep it is full again, as it would be anyway.
import { BATCH_HEADER_BYTES, readBatchHeader } from "../protocol/batch.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import type { SocketClaims } from "../protocol/rpc.ts";
import { TokenBucket } from "../routing/rate.ts";

export class SocketRates {
  private readonly buckets = new WeakMap<WebSocket, TokenBucket>();

  /** The batch is not checked yet: what is too short to say how many messages it has counts as one. */
  lacks(
    socket: WebSocket,
    { publishRatePerSecond }: SocketClaims,
    batch: Uint8Array,
    nowMs: number,
  ): Refusal | null {
    if (publishRatePerSecond === undefined) return null;
    const bucket = this.buckets.get(socket) ?? new TokenBucket(publishRatePerSecond, nowMs);
    this.buckets.set(socket, bucket);
    const count = batch.byteLength < BATCH_HEADER_BYTES ? 1 : readBatchHeader(batch).count;
    const taken = bucket.take(count, nowMs);
    if (taken.ok) return null;
    const { retryAfterMs } = taken;
    return refuse("rate_limited", `token: may publish ${publishRatePerSecond} messages a second`, {
      retryAfterMs,
    });
  }
}
