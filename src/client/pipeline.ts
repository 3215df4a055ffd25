/**
 * The batches between us and the broker, and the numbering that keeps them from being accepted twice.
 *
 * A producer counts its messages from 1 without gaps, and the broker accepts a batch only if it follows on. So:
 *
 *  - A lost connection leaves batches in doubt. They are sent again unchanged, in order, under the same producer
 *    and sequences: those that were accepted are answered as such, and none is accepted twice.
 *  - A refused batch leaves its sequences unused, so everything sent behind it is refused as well (`sequence_gap`),
 *    whatever it is. Those answers are expected and mean nothing. When the oldest batch is refused, all batches
 *    behind it are therefore known not to be stored: their messages go back to the buffer, in order, and are numbered
 *    anew under a new producer. (Not under the old one: a frame of the old numbering still on its way would fit it.
 *    Under the old producer it can never fit again, because its gap is never filled.)
 *  - Nothing is sent behind the first batch of a producer until that is confirmed. A broker that has never heard of a
 *    producer can't tell a gap, and must not be asked to.
 *  - A message whose time is over while its batch is in doubt is answered with `timeout`, but stays in its batch:
 *    taking it out would change the batch, and leaving the batch out would open a gap. It counts in the buffer until
 *    the batch is answered.
 *  - `sequence_gap` for the oldest batch means that the broker does not know our numbering (it forgot, or another
 *    uses our id). Sending the messages in flight again could double them: they are rejected with that error, and
 *    those not yet sent go on under a new producer.
 *  - The broker forgets a producer that was idle for a day, so one that was idle for half of that, with nothing in
 *    doubt, takes a new id first.
 */
import { idPrefix, UNSTAMPED } from "../protocol/batch.ts";
import type { PublishConfirm } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { indexesOf } from "../protocol/runs.ts";
import { TypeScriptBatchCodec } from "../protocol/typescript-batch-codec.ts";
import type { Clock } from "./clock.ts";
import { errorOfRefusal, MillraceError } from "./errors.ts";
import type { Entry, PublishBuffer } from "./publish-buffer.ts";

export interface Batch {
  readonly entries: readonly Entry[];
  readonly bytes: Uint8Array;
  /** Of the first message. */
  readonly sequence: number;
  /** Of the frame it was last sent in; null: to be sent, for the first time or again. */
  ref: number | null;
  /** Whether it was sent more than once: then the broker's word "duplicate" may be about ourselves. */
  isRepeated: boolean;
  refusal: MillraceError | null;
  /** The refusal came while an older batch was unanswered. */
  isRefusedEarly: boolean;
}

export interface PipelineOptions {
  readonly messagesMax: number;
  readonly bytesMax: number;
  readonly batchesMax: number;
}

export class Pipeline {
  producer: string;
  private readonly clock: Clock;
  private readonly options: PipelineOptions;
  private readonly codec = new TypeScriptBatchCodec();
  private batches: Batch[] = [];
  private nextSequence = 1;
  private nextRef = 1;
  private isProven = false;
  private lastConfirmMs = 0;
  /** Below `messagesMax` while a message that spoils its batch is looked for. */
  private messagesMax: number;

  constructor(clock: Clock, options: PipelineOptions) {
    this.clock = clock;
    this.options = options;
    this.messagesMax = options.messagesMax;
    this.producer = clock.id();
  }

  /** Nothing is sent and unanswered. */
  get isIdle(): boolean {
    return this.batches.length === 0;
  }

  isFull(count: number, bytes: number): boolean {
    return count >= this.messagesMax || bytes >= this.options.bytesMax;
  }

  /** The batch to send now: one to be repeated, or a new one if there is place and it is due or full. */
  next(buffer: PublishBuffer, isDue: boolean): Batch | null {
    const repeated = this.batches.find((batch) => batch.ref === null);
    if (repeated !== undefined) return repeated;
    while (buffer.waitingCount > 0) {
      if (this.batches.length >= (this.isProven ? this.options.batchesMax : 1)) return null;
      if (!isDue && !this.isFull(buffer.waitingCount, buffer.waitingBytes)) return null;
      const batch = this.build(buffer);
      if (batch === null) continue;
      this.batches.push(batch);
      return batch;
    }
    return null;
  }

  private build(buffer: PublishBuffer): Batch | null {
    const entries = buffer.take(this.messagesMax, this.options.bytesMax);
    const encoded = this.codec.encode(
      entries.map((entry) => entry.record),
      UNSTAMPED,
      "client",
    );
    if (!encoded.ok) {
      this.weedOut(entries, buffer);
      return null;
    }
    const isForgotten = this.clock.now() - this.lastConfirmMs > LIMITS.producerIdleMs / 2;
    if (this.isProven && this.batches.length === 0 && isForgotten) this.renew();
    const sequence = this.nextSequence;
    this.nextSequence += entries.length;
    return {
      entries,
      bytes: encoded.value,
      sequence,
      ref: null,
      isRepeated: false,
      refusal: null,
      isRefusedEarly: false,
    };
  }

  /** One message against the format would cost its whole batch: each is tried alone, and only the bad are rejected. */
  private weedOut(entries: readonly Entry[], buffer: PublishBuffer): void {
    const good: Entry[] = [];
    for (const entry of entries) {
      const alone = this.codec.encode([entry.record], UNSTAMPED, "client");
      if (alone.ok) good.push(entry);
      else buffer.reject(entry, errorOfRefusal(alone));
    }
    if (good.length === entries.length) this.narrow(entries.length);
    buffer.putBack(good);
  }

  sent(batch: Batch): number {
    batch.ref = this.nextRef++;
    return batch.ref;
  }

  connectionLost(): void {
    for (const batch of this.batches) {
      if (batch.ref !== null) batch.isRepeated = true;
      batch.ref = null;
      batch.refusal = null;
    }
  }

  confirm(ref: number, confirm: PublishConfirm, buffer: PublishBuffer): void {
    const index = this.batches.findIndex((batch) => batch.ref === ref);
    if (index === -1) return;
    const [batch] = this.batches.splice(index, 1);
    this.isProven = true;
    this.lastConfirmMs = this.clock.now();
    this.messagesMax = Math.min(this.options.messagesMax, this.messagesMax * 2);
    answerAll(batch!, confirm, buffer);
  }

  refuse(ref: number, error: MillraceError): void {
    const index = this.batches.findIndex((batch) => batch.ref === ref);
    const batch = this.batches[index];
    if (batch === undefined) return;
    batch.refusal = error;
    batch.isRefusedEarly = index > 0;
  }

  /**
   * If the oldest batch was refused: takes it out, with what the refusal undid behind it. The messages that may be
   * published later are back in the buffer; those of the batch itself are not, when the refusal is final, and then
   * the caller answers them.
   */
  takeRefused(buffer: PublishBuffer): { error: MillraceError; batch: Batch } | null {
    const oldest = this.batches[0];
    if (oldest === undefined || oldest.refusal === null) return null;
    const error = oldest.refusal;
    if (error.code === "sequence_gap" && oldest.isRefusedEarly) {
      // The batch before it was confirmed after all: now it follows on.
      oldest.refusal = null;
      oldest.ref = null;
      return null;
    }
    const { batches } = this;
    this.renew();
    if (error.code === "sequence_gap") {
      const entries = batches.flatMap((batch) => batch.entries);
      return { error, batch: { ...oldest, entries } };
    }
    const isFinal = !error.retry && !(blamesOne(error) && oldest.entries.length > 1);
    const again = isFinal ? batches.slice(1) : batches;
    buffer.putBack(again.flatMap((batch) => batch.entries));
    return { error, batch: oldest };
  }

  /** After a batch of `count` failed for one of its messages: the next ones are half as large. */
  narrow(count: number): void {
    this.messagesMax = Math.max(1, Math.ceil(count / 2));
  }

  private renew(): void {
    this.producer = this.clock.id();
    this.nextSequence = 1;
    this.isProven = false;
    this.batches = [];
  }

  deadlineMs(): number | null {
    for (const batch of this.batches) {
      for (const entry of batch.entries) if (!entry.isDone) return entry.deadlineMs;
    }
    return null;
  }

  /** Answers what is over time. True when a batch that is on the wire was among it: the broker is silent. */
  expire(nowMs: number, error: MillraceError, buffer: PublishBuffer): boolean {
    let isSilent = false;
    for (const batch of this.batches) {
      for (const entry of batch.entries) {
        if (entry.isDone || entry.deadlineMs > nowMs) continue;
        buffer.answer(entry, error);
        isSilent ||= batch.ref !== null;
      }
    }
    return isSilent;
  }

  rejectAll(error: MillraceError, buffer: PublishBuffer): void {
    for (const batch of this.batches) for (const entry of batch.entries) buffer.reject(entry, error);
    this.renew();
  }
}

function answerAll(batch: Batch, confirm: PublishConfirm, buffer: PublishBuffer): void {
  const { entries } = batch;
  const duplicates = new Set(confirm.duplicates);
  // Some partitions of a queue may refuse their part.
  for (const { messages, code, detail } of confirm.refused ?? []) {
    const error = errorOfRefusal({ code, detail });
    for (const index of indexesOf(messages)) buffer.reject(entries[index]!, error);
  }
  let position = 0;
  const prefix = idPrefix(confirm.origin);
  for (const [first, count] of confirm.sequences) {
    for (let i = 0; i < count && position < entries.length; i++, position++) {
      if (first === 0) continue;
      const entry = entries[position]!;
      const isOwn = batch.isRepeated && entry.record.dedupId === undefined;
      const duplicate = duplicates.size > 0 && !isOwn && duplicates.has(position);
      buffer.resolve(entry, { id: prefix + (first + i).toString(36), duplicate });
    }
  }
  if (position === entries.length) return;
  // The broker remembers a producer's newest batches only. We never have that many in flight, so this is for a
  // broker that remembers fewer than it promised.
  const forgotten = new MillraceError("internal", "accepted, but the broker no longer knows under which id", {
    facts: { outcome: "published" },
  });
  for (; position < entries.length; position++) buffer.reject(entries[position]!, forgotten);
}

/** Refusals that one message causes and all of its batch suffer. The batch is taken apart to find it. */
export function blamesOne(error: MillraceError): boolean {
  return BLAMES_ONE.has(error.code);
}
const BLAMES_ONE = new Set<string>(["body_too_large", "batch_too_large", "bad_batch", "bad_request"]);
