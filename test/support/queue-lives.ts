/**
 * Scenarios of a queue, each run twice: in one life of the object, and with the object evicted after every step.
 * Nothing that a client can see may differ.
 */
import { expect, it } from "vitest";
import type { Delivery, PublishConfirm, SettlementResult, Verdict } from "../../src/protocol/commands.ts";
import { deliveryToJson, type DeliveredJson } from "../../src/protocol/message-json.ts";
import type { Result } from "../../src/protocol/result.ts";
import type { Queue } from "../../src/queue/queue.ts";
import type { OutboxRow } from "../../src/queue/stores.ts";
import { leaseOf, QueueHarness, type HarnessOptions } from "./queue-harness.ts";

/** Every step is the last one before an eviction. */
export class EvictedHarness extends QueueHarness {
  override run<T>(work: (queue: Queue, nowMs: number) => T): T {
    const value = super.run(work);
    this.evict();
    return value;
  }
}

export type MakeQueue = (options?: HarnessOptions) => QueueHarness;

export function inBothLives(claim: string, scenario: (make: MakeQueue) => void): void {
  it(claim, () => scenario((options) => new QueueHarness(options)));
  it(`${claim}, evicted after every step`, () => scenario((options) => new EvictedHarness(options)));
}

/** The value of an answer that must not be a refusal. */
export function must<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.code}: ${result.detail}`);
  return result.value;
}

export function bodies(messages: readonly { readonly body?: string }[]): (string | undefined)[] {
  return messages.map(({ body }) => body);
}

/** Bodies "0", "1", "2" … */
export function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}

/** The sequences of a confirm, run by run spelt out. */
export function sequencesOf(confirm: PublishConfirm): number[] {
  return confirm.sequences.flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i));
}

export function decode(q: QueueHarness, delivery: Delivery): DeliveredJson[] {
  return deliveryToJson(delivery, q.codec);
}

type Wishes = { delayMs?: number; dead?: boolean; error?: string; leaseMs?: number };

/** Settles one message by its receipt's lease. */
export function settleMessage(
  q: QueueHarness,
  message: DeliveredJson,
  verdict: Verdict,
  wishes: Wishes = {},
): SettlementResult {
  const sequences = [[message.sequence, 1]] as const;
  return q.settle({ lease: leaseOf(message), sequences, verdict, ...wishes })[0]!;
}

/** Takes the next message, which must be this one. */
export function takeOne(q: QueueHarness, body: string): DeliveredJson {
  const [message, ...more] = q.take(1);
  expect([message?.body, more.length]).toEqual([body, 0]);
  return message!;
}

/** Takes and acks until nothing is ready. */
export function drain(q: QueueHarness, max = 100): DeliveredJson[] {
  const all: DeliveredJson[] = [];
  for (;;) {
    const messages = q.take(max);
    if (messages.length === 0) return all;
    all.push(...messages);
    q.settle({ lease: leaseOf(messages[0]!), verdict: "ack" });
  }
}

/** The move that may go next. */
export function firstMove(q: QueueHarness): OutboxRow | null {
  return q.run((queue, nowMs) => {
    const [target] = queue.dueTargets(nowMs);
    return target === undefined ? null : queue.movesTo(target, nowMs)[0]!;
  });
}

/** What the queue has sent to its dead-letter queue, taken off its outbox. */
export function carried(q: QueueHarness): OutboxRow[] {
  const rows: OutboxRow[] = [];
  for (;;) {
    const row = firstMove(q);
    if (row === null) return rows;
    rows.push(row);
    q.run((queue) => queue.moved(row));
  }
}

/** Carries what waits in one queue's outbox to another, as the shell does. */
export function carry(from: QueueHarness, to: QueueHarness): number {
  let moved = 0;
  for (const { batch, number } of carried(from)) {
    const sender = from.run((queue) => queue.stored.queue);
    moved += must(to.run((queue, nowMs) => queue.acceptMoves(sender, [{ number, batch }], nowMs))).accepted;
  }
  return moved;
}
