/**
 * The messages a publisher holds, and how many it may. A message is first perhaps outside (no room yet), then
 * waiting (admitted, in no batch), then in a batch; it counts until its batch is confirmed or refused for good.
 */
import type { MessageRecord } from "../protocol/batch.ts";
import { MillraceError } from "./errors.ts";
import { Fifo } from "./fifo.ts";
import {
  recordBytesMax,
  recordOf,
  type MessageBody,
  type Published,
  type PublishOptions,
} from "./outgoing.ts";

/** `R` is what its publisher is told. */
export interface Entry<R = Published> {
  readonly record: MessageRecord;
  /** No fewer than it takes in a batch. */
  readonly bytes: number;
  readonly deadlineMs: number;
  /** Called once. */
  readonly done: (result: R | MillraceError) => void;
  /** Its caller has been answered: with a result, or with `timeout` while its batch is still on the wire. */
  isDone: boolean;
}

export function entryOf<R = Published>(
  body: MessageBody,
  options: PublishOptions,
  deadlineMs: number,
  done: Entry<R>["done"],
): Entry<R> {
  const record = recordOf(body, options);
  return { record, bytes: recordBytesMax(record), deadlineMs, done, isDone: false };
}

export interface BufferOptions {
  readonly messagesMax: number;
  readonly bytesMax: number;
  readonly whenFull: "wait" | "throw";
}

export class PublishBuffer<R = Published, E extends Entry<R> = Entry<R>> {
  private readonly options: BufferOptions;
  private readonly outside = new Fifo<E>();
  private readonly waiting = new Fifo<E>();
  private readonly roomWaiters = new Fifo<() => void>();
  private heldCount = 0;
  private heldBytes = 0;
  /** Bytes of what is in no batch. */
  waitingBytes = 0;
  /** Messages whose callers wait for an answer. */
  openCount = 0;

  constructor(options: BufferOptions) {
    this.options = options;
  }

  get waitingCount(): number {
    return this.waiting.size;
  }

  /** Room for at least one more; a message larger than all the room is let in when it is alone. */
  get hasRoom(): boolean {
    return (
      this.outside.size === 0 &&
      this.heldCount < this.options.messagesMax &&
      this.heldBytes < this.options.bytesMax
    );
  }

  /** True when the message was admitted. Else it waits outside, or was answered with `buffer_full`. */
  add(entry: E): boolean {
    this.openCount++;
    if (this.hasRoom) {
      this.hold(entry);
      return true;
    }
    if (this.options.whenFull === "wait") this.outside.push(entry);
    else this.answer(entry, new MillraceError("buffer_full", "the publisher's buffer is full"));
    return false;
  }

  /** Lets in what has room now, in the order of arrival. True if any was. */
  admit(): boolean {
    let isAny = false;
    while (
      this.outside.size > 0 &&
      this.heldCount < this.options.messagesMax &&
      this.heldBytes < this.options.bytesMax
    ) {
      const entry = this.outside.shift()!;
      if (entry.isDone) continue;
      this.hold(entry);
      isAny = true;
    }
    while (this.hasRoom && this.roomWaiters.size > 0) this.roomWaiters.shift()!();
    return isAny;
  }

  whenRoom(): Promise<void> {
    return this.hasRoom ? Promise.resolve() : new Promise((resolve) => this.roomWaiters.push(resolve));
  }

  private hold(entry: E): void {
    this.heldCount++;
    this.heldBytes += entry.bytes;
    this.waitingBytes += entry.bytes;
    this.waiting.push(entry);
  }

  /** Takes the next messages for a batch, at least one if there is any, all of them like the first. They stay held. */
  take(messagesMax: number, bytesMax: number, isLike: (entry: E, first: E) => boolean = () => true): E[] {
    const taken: E[] = [];
    let bytes = 0;
    for (let entry = this.waiting.peek(); entry !== undefined; entry = this.waiting.peek()) {
      if (taken.length > 0) {
        if (taken.length >= messagesMax || bytes + entry.bytes > bytesMax) break;
        if (!isLike(entry, taken[0]!)) break;
      }
      this.waiting.shift();
      bytes += entry.bytes;
      taken.push(entry);
    }
    this.waitingBytes -= bytes;
    return taken;
  }

  /** Puts messages of refused batches back in front, in their order; those already answered are let go. */
  putBack(entries: readonly E[]): void {
    const open = entries.filter((entry) => !entry.isDone);
    for (const entry of entries) {
      if (entry.isDone) this.release(entry);
      else this.waitingBytes += entry.bytes;
    }
    this.waiting.putBack(open);
  }

  /** Lets go of a message that is in a batch, and answers it if it was not. */
  resolve(entry: E, result: R): void {
    this.release(entry);
    this.answer(entry, result);
  }
  reject(entry: E, error: MillraceError): void {
    this.release(entry);
    this.answer(entry, error);
  }

  /** Answers without letting go: the message is on the wire, and its batch must stay as it is. */
  answer(entry: E, result: R | MillraceError): void {
    if (entry.isDone) return;
    entry.isDone = true;
    this.openCount--;
    entry.done(result);
  }

  private release(entry: E): void {
    this.heldCount--;
    this.heldBytes -= entry.bytes;
  }

  /** All have the same time to wait and both queues are in the order of arrival, so the oldest is in front. */
  expire(nowMs: number, error: MillraceError): void {
    for (let entry = this.waiting.peek(); entry !== undefined && entry.deadlineMs <= nowMs;) {
      this.waiting.shift();
      this.waitingBytes -= entry.bytes;
      this.reject(entry, error);
      entry = this.waiting.peek();
    }
    for (let entry = this.outside.peek(); entry !== undefined && entry.deadlineMs <= nowMs;) {
      this.outside.shift();
      this.answer(entry, error);
      entry = this.outside.peek();
    }
  }

  deadlineMs(): number | null {
    return this.waiting.peek()?.deadlineMs ?? this.outside.peek()?.deadlineMs ?? null;
  }

  rejectAll(error: MillraceError): void {
    for (const entry of this.waiting.takeAll()) this.reject(entry, error);
    for (const entry of this.outside.takeAll()) this.answer(entry, error);
    this.waitingBytes = 0;
  }
}
