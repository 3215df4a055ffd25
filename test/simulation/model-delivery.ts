// Which messages of the model may go out, what goes before what, and what consumers may say of them.
import type { Settlement } from "../../src/protocol/commands.ts";
import type { ErrorCode } from "../../src/protocol/errors.ts";
import type { ModelLease, ModelMessage, ModelQueue, Outcome } from "./model.ts";

/** Priority first, then when it was first due, then the sequence. */
export function isBefore(a: ModelMessage, b: ModelMessage): boolean {
  if (a.facts.priority !== b.facts.priority) return a.facts.priority > b.facts.priority;
  return a.rankMs < b.rankMs || (a.rankMs === b.rankMs && a.sequence < b.sequence);
}

function isAlive(queue: ModelQueue, message: ModelMessage): boolean {
  if (queue.isTooOld(message)) return false;
  return (
    message.state === "ready" || (message.state === "fresh" && !message.isDrained && queue.isDue(message))
  );
}

export function outOfKey(queue: ModelQueue, key: string): number {
  return queue.all().filter((one) => one.key === key && one.state === "leased").length;
}

/** Whether something of its key stands in a message's way. */
function isHeldBack(queue: ModelQueue, message: ModelMessage, isPicked: boolean): boolean {
  const { key } = message;
  if (key === null) return false;
  if (outOfKey(queue, key) >= queue.config.maxPerKey) return true;
  // One that is too old is buried when it comes up, before the alarm: whether it has, the delivery shows.
  const isThere = (one: ModelMessage): boolean => !isPicked || one.state !== "ready" || !queue.isTooOld(one);
  const others = queue.all().filter((one) => one.key === key && one !== message && isThere(one));
  if (others.some(({ state }) => state === "parked")) return true;
  const returned = others.filter(({ state }) => state === "waiting" || state === "ready");
  if (message.state === "ready") {
    return queue.config.maxPerKey === 1 && returned.some((one) => isBefore(one, message));
  }
  return (
    returned.length > 0 ||
    others.some((one) => one.state === "fresh" && isAlive(queue, one) && isBefore(one, message))
  );
}

/** `isPicked`: it was delivered, and the question is whether it could be. */
export function mayGoOut(queue: ModelQueue, message: ModelMessage, isPicked: boolean): boolean {
  return isAlive(queue, message) && !isHeldBack(queue, message, isPicked);
}

export function eligible(queue: ModelQueue): ModelMessage[] {
  return queue.all().filter((message) => mayGoOut(queue, message, false));
}

/** A message back from an earlier attempt whose next failure is its end: it goes out alone. */
export function isLastAttempt(queue: ModelQueue, message: ModelMessage): boolean {
  return (
    message.state === "ready" && message.failures >= (queue.config.maxFailures ?? Number.POSITIVE_INFINITY)
  );
}

/** Something that had to go out before this message, or null. Across keys only the priority counts. */
export function overtaken(queue: ModelQueue, message: ModelMessage): ModelMessage | null {
  for (const other of eligible(queue)) {
    if (other === message || !isBefore(other, message)) continue;
    // Where a key may have several out, what follows a returned message goes with the next delivery.
    if (queue.config.maxPerKey > 1 && other.key !== null && other.state === "fresh") continue;
    if (other.facts.priority > message.facts.priority) return other;
    if (!queue.config.fifo) return other;
    const areKeyless = other.key === null && message.key === null;
    if (areKeyless && other.state === message.state) return other;
  }
  return null;
}

export function lend(queue: ModelQueue, lease: Omit<ModelLease, "messages">): ModelLease {
  const granted = { ...lease, messages: [] };
  queue.leases.set(lease.id, granted);
  return granted;
}

export function goOut(queue: ModelQueue, lease: ModelLease, message: ModelMessage): void {
  message.state = "leased";
  message.attempts++;
  lease.messages.push({ message, outcome: "open" });
  queue.totals.delivered++;
}

export interface ModelSettled {
  settled: number;
  untilMs?: number;
  /** By sequence. */
  readonly refused: Map<number, ErrorCode>;
}

function outcomeOf(settlement: Settlement): Outcome | null {
  if (settlement.verdict === "extend") return null;
  return settlement.dead && settlement.verdict === "reject" ? "dead" : settlement.verdict;
}

/** What a settlement must be answered, and its effect. */
export function settle(queue: ModelQueue, settlement: Settlement, nowMs: number): ModelSettled {
  queue.clockMs = Math.max(queue.clockMs, nowMs);
  const result: ModelSettled = { settled: 0, refused: new Map() };
  const lease = queue.leases.get(settlement.lease);
  const named = settlement.sequences?.flatMap(([first, count]) =>
    Array.from({ length: count }, (_, i) => first + i),
  );
  if (!lease) {
    for (const sequence of named ?? [0]) result.refused.set(sequence, "lease_lost");
    return result;
  }
  if (lease.untilMs <= queue.clockMs) queue.endOverdue(lease);
  const open = queue.open(lease);
  // Once nothing is open, a settlement of the whole delivery is judged as if it named every message.
  const meant = (open.length > 0 ? open : lease.messages).map(({ message }) => message.sequence);
  for (const sequence of named ?? meant) settleOne(queue, lease, sequence, settlement, result);
  if (settlement.verdict === "extend" && result.settled > 0) {
    lease.untilMs = queue.clockMs + (settlement.leaseMs ?? queue.config.leaseMs);
    result.untilMs = lease.untilMs;
  }
  return result;
}

function settleOne(
  queue: ModelQueue,
  lease: ModelLease,
  sequence: number,
  settlement: Settlement,
  result: ModelSettled,
): void {
  const entry = lease.messages.find(({ message }) => message.sequence === sequence);
  const wanted = outcomeOf(settlement);
  if (!entry) {
    result.refused.set(sequence, "lease_lost");
  } else if (entry.outcome === "open") {
    result.settled++;
    if (settlement.verdict === "ack") queue.ack(entry);
    else if (settlement.verdict !== "extend") {
      queue.end(entry, {
        outcome: settlement.verdict,
        isFailure: settlement.verdict === "reject",
        delayMs: settlement.delayMs,
        isFinal: wanted === "dead",
      });
    }
  } else if (entry.outcome === wanted) {
    result.settled++;
  } else {
    result.refused.set(
      sequence,
      entry.outcome === "lost" || wanted === null ? "lease_lost" : "already_settled",
    );
  }
}
