// How fast tokens publish to this object. Buckets are memory; only what is owed for long is stored, in one row.
import { BATCH_HEADER_BYTES, readBatchHeader } from "../protocol/batch.ts";
import type { PublishCommand, RateCharge } from "../protocol/commands.ts";
import type { Refusal, Result } from "../protocol/result.ts";
import { RateBuckets, type RateDebt } from "../routing/rate-buckets.ts";

const KEY = "rate-debts";

export class RateLimits {
  private readonly storage: DurableObjectStorage;
  private known: RateBuckets | null = null;

  constructor(storage: DurableObjectStorage) {
    this.storage = storage;
  }

  private open(nowMs: number): RateBuckets {
    this.known ??= new RateBuckets(this.storage.kv.get<RateDebt[]>(KEY) ?? [], nowMs);
    return this.known;
  }

  /** Takes from each charge's bucket. When one of several refuses, what was taken from the others stays taken. */
  charge(charges: readonly (RateCharge & { readonly messages: number })[], nowMs: number): Refusal | null {
    if (charges.length === 0) return null;
    const buckets = this.open(nowMs);
    for (const charge of charges) {
      const lacking = buckets.take(charge, charge.messages, nowMs);
      if (lacking !== null) return lacking;
    }
    if (charges.some((charge) => buckets.isDeepInDebt(charge, nowMs)))
      this.storage.kv.put(KEY, buckets.debts(nowMs));
    return null;
  }

  /**
   * Runs the publishes that their tokens' rates allow. Those of one bucket that come in one call are charged as one batch:
   * all of them or none, so that none overtakes another.
   */
  async guard<T>(
    commands: readonly PublishCommand[],
    nowMs: number,
    run: (allowed: readonly PublishCommand[]) => Promise<Result<T>[]>,
  ): Promise<Result<T>[]> {
    if (commands.every(({ rate }) => rate === undefined)) return run(commands);
    const sums = new Map<string, RateCharge & { messages: number }>();
    for (const { rate, batch } of commands) {
      if (rate === undefined) continue;
      const sum = sums.get(rate.bucket) ?? { ...rate, messages: 0 };
      sum.messages += countOf(batch);
      sums.set(rate.bucket, sum);
    }
    const refusals = new Map([...sums].map(([bucket, sum]) => [bucket, this.charge([sum], nowMs)]));
    const refusalOf = ({ rate }: PublishCommand): Refusal | null =>
      rate === undefined ? null : (refusals.get(rate.bucket) ?? null);
    const allowed = commands.filter((command) => refusalOf(command) === null);
    const results = allowed.length === 0 ? [] : await run(allowed);
    let next = 0;
    return commands.map((command) => refusalOf(command) ?? results[next++]!);
  }
}

/** The batch is not checked yet: what is too short to say how many messages it has counts as one. */
function countOf(batch: Uint8Array): number {
  return batch.byteLength < BATCH_HEADER_BYTES ? 1 : readBatchHeader(batch).count;
}
