// Which messages of the model may go out, what goes before what, and what consumers may say of them.
import type { Settlement } from "../../src/protocol/commands.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import type { ErrorCode } from "../../src/protocol/errors.ts";
import type { ModelEntry, ModelLease, ModelMessage, ModelQueue, Outcome } from "./model.ts";

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

/** What of a key is out under other deliveries than the one that is put together. */
function outElsewhere(queue: ModelQueue, key: string, own: ModelLease | null): ModelMessage[] {
  const isOwn = (one: ModelMessage): boolean => own?.messages.some(({ message }) => message === one) ?? false;
  return queue.all().filter((one) => one.key === key && one.state === "leased" && !isOwn(one));
}

/** Whether something of its key stands in a message's way. `own`: the delivery that it would go along with. */
function isHeldBack(
  queue: ModelQueue,
  message: ModelMessage,
  isPicked: boolean,
  own: ModelLease | null,
): boolean {
  const { key } = message;
  if (key === null) return false;
  const { maxPerKey, oneDeliveryPerKey } = queue.config;
  if (outOfKey(queue, key) >= maxPerKey) return true;
  if (oneDeliveryPerKey) {
    const out = outElsewhere(queue, key, own);
    // One that came back may go before those that are still out, never behind one of them.
    if (out.some((one) => message.state === "fresh" || one.sequence < message.sequence)) return true;
  }
  // One that is too old is buried when it comes up, before the alarm: whether it has, the delivery shows.
  const isThere = (one: ModelMessage): boolean => !isPicked || one.state !== "ready" || !queue.isTooOld(one);
  const others = queue.all().filter((one) => one.key === key && one !== message && isThere(one));
  if (others.some(({ state }) => state === "parked")) return true;
  const returned = others.filter(({ state }) => state === "waiting" || state === "ready");
  if (message.state === "ready") {
    return (maxPerKey === 1 || oneDeliveryPerKey) && returned.some((one) => isBefore(one, message));
  }
  return (
    returned.length > 0 ||
    others.some((one) => one.state === "fresh" && isAlive(queue, one) && isBefore(one, message))
  );
}

/** `isPicked`: it was delivered, and the question is whether it could be. */
export function mayGoOut(
  queue: ModelQueue,
  message: ModelMessage,
  isPicked: boolean,
  own: ModelLease | null,
): boolean {
  return isAlive(queue, message) && !isHeldBack(queue, message, isPicked, own);
}

export function eligible(queue: ModelQueue, own: ModelLease | null = null): ModelMessage[] {
  return queue.all().filter((message) => mayGoOut(queue, message, false, own));
}

/** A message back from an earlier attempt whose next failure is its end goes out alone, where the queue says so. */
export function goesAlone({ config }: ModelQueue, { state, failures }: ModelMessage): boolean {
  const { lastAttemptAlone, maxFailures } = config;
  return lastAttemptAlone && maxFailures !== null && state === "ready" && failures >= maxFailures;
}

/** Whether what held up a message went out, of a lower priority: that of the message comes up again next time. */
export function hasFreed(delivery: ModelLease, { state, key, facts }: ModelMessage): boolean {
  return (
    state === "fresh" &&
    key !== null &&
    delivery.messages.some(({ message }) => message.key === key && message.facts.priority < facts.priority)
  );
}

/** Something that had to go out before this message, or null. Across keys only the priority counts. */
export function overtaken(queue: ModelQueue, message: ModelMessage, own: ModelLease): ModelMessage | null {
  for (const other of eligible(queue, own)) {
    if (other === message || !isBefore(other, message)) continue;
    if (hasFreed(own, other)) continue;
    // Lanes take turns.
    if (queue.config.fairLanes > 0 && other.facts.priority !== message.facts.priority) continue;
    if (other.facts.priority > message.facts.priority) return other;
    if (!queue.config.fifo) return other;
    const areKeyless = other.key === null && message.key === null;
    if (areKeyless && other.state === message.state) return other;
  }
  return null;
}

export function lend(queue: ModelQueue, lease: Omit<ModelLease, "messages" | "isSplit">): ModelLease {
  const granted = { ...lease, isSplit: false, messages: [] };
  queue.leases.set(lease.id, granted);
  return granted;
}

export function goOut(queue: ModelQueue, lease: ModelLease, message: ModelMessage): void {
  message.state = "leased";
  message.attempts++;
  const { attempts: attempt, failures } = message;
  lease.messages.push({ message, attempt, failures, untilMs: lease.untilMs, outcome: "open" });
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
  queue.endOverdue(lease);
  const open = queue.open(lease);
  // Once nothing is open, a settlement of the whole delivery is judged as if it named every message.
  const meant = (open.length > 0 ? open : lease.messages).map(({ message }) => message.sequence);
  const extended = new Set<ModelEntry>();
  for (const sequence of named ?? meant) settleOne(queue, lease, sequence, { settlement, result, extended });
  if (extended.size > 0) {
    result.untilMs = extendedUntilMs(queue, settlement);
    for (const entry of extended) entry.untilMs = result.untilMs;
    lease.isSplit = extended.size < queue.open(lease).length;
  }
  return result;
}

function extendedUntilMs(queue: ModelQueue, { leaseMs }: Settlement): number {
  return queue.clockMs + (leaseMs ?? Math.max(queue.config.leaseMs, LIMITS.leaseMsMin));
}

/** Of a delivery that ended otherwise: while nobody has been given the message since, it can still be acked or held on to. */
function settleLate(
  queue: ModelQueue,
  lease: ModelLease,
  entry: ModelEntry,
  settlement: Settlement,
  result: ModelSettled,
): boolean {
  const { message, attempt, failures } = entry;
  const isThere = queue.messages.get(message.sequence) === message && message.attempts === attempt;
  if (!isThere || (message.state !== "waiting" && message.state !== "ready")) return false;
  if (settlement.verdict === "ack") {
    queue.ack(entry);
    return true;
  }
  const untilMs = extendedUntilMs(queue, settlement);
  if (message.key !== null || untilMs <= queue.clockMs) return false;
  if (queue.open(lease).length === 0) lease.consumerId = 0;
  lease.isSplit = true;
  Object.assign(entry, { outcome: "open", untilMs });
  Object.assign(message, { state: "leased", failures });
  result.untilMs = untilMs;
  return true;
}

function settleOne(
  queue: ModelQueue,
  lease: ModelLease,
  sequence: number,
  said: {
    readonly settlement: Settlement;
    readonly result: ModelSettled;
    readonly extended: Set<ModelEntry>;
  },
): void {
  const { settlement, result, extended } = said;
  const entry = lease.messages.find(({ message }) => message.sequence === sequence);
  const wanted = outcomeOf(settlement);
  if (!entry) {
    result.refused.set(sequence, "lease_lost");
  } else if (entry.outcome === "open") {
    result.settled++;
    if (settlement.verdict === "ack") queue.ack(entry);
    else if (settlement.verdict === "extend") extended.add(entry);
    else {
      queue.end(entry, {
        outcome: settlement.verdict,
        isFailure: settlement.verdict === "reject",
        delayMs: settlement.delayMs,
        isFinal: wanted === "dead",
      });
    }
  } else if (entry.outcome === wanted) {
    result.settled++;
  } else if (settlement.late === true && settleLate(queue, lease, entry, settlement, result)) {
    result.settled++;
  } else {
    result.refused.set(
      sequence,
      entry.outcome === "lost" || wanted === null ? "lease_lost" : "already_settled",
    );
  }
}
