// What a person may set on a queue, and what holds when they don't.
import { LIMITS } from "./limits.ts";

/** How long a failed message waits before its next attempt. `n` counts the attempts so far, from 1. */
export interface RetryPolicy {
  /** fixed: base; linear: base × n; exponential: base × 2^(n-1). Never over `maxMs`. */
  readonly kind: "fixed" | "linear" | "exponential";
  readonly baseMs: number;
  readonly maxMs: number;
  /** 0 to 1: the share of the wait that is drawn at random, downwards. 0.2 waits 80 to 100 %. */
  readonly jitter: number;
}

/** A queue or an exchange of the same namespace. It must exist when it is named here. */
export type DeadLetterTarget = ({ readonly queue: string } | { readonly exchange: string }) & {
  /** Replaces the message's routing key on its way. */
  readonly routingKey?: string;
};

/** What happens to the rest of a key when one of its messages has used up its failures (FIFO queues). */
export type OnKeyFailure = "park" | "skip" | "drain";

export interface QueueConfig {
  /** How long a delivery is held before it counts as failed; a consumer may ask for another time. */
  readonly leaseMs: number;
  /** A message with more failures than this is dead. Null: however often it fails, it is tried again. */
  readonly maxFailures: number | null;
  /**
   * A message that is dead when it fails once more is delivered alone, so that a poisoned one takes no other with it.
   * False: it goes along with others, and a backlog of such messages takes fewer deliveries.
   */
  readonly lastAttemptAlone: boolean;
  readonly retry: RetryPolicy;
  /** The wait after a plain nack that names none, so that a message given back by all does not spin. */
  readonly nackDelayMs: number;
  /** Null: a dead message stays in this queue, in state `dead`, until it is redriven or purged. */
  readonly deadLetter: DeadLetterTarget | null;
  /** Queues that may name this one as their dead-letter queue. Null: all of the namespace. */
  readonly deadLetterFrom: readonly string[] | null;
  /** What becomes of a message whose time to live is over: it goes where the dead go, or it is gone. */
  readonly onExpiry: "deadLetter" | "drop";
  /** The delay of a message that names none. */
  readonly delayMs: number;
  /** How long a receive that names no time waits for a message. */
  readonly receiveWaitMs: number;
  /** How long an ack that comes over a socket may wait for others, to be stored with them; it is answered when it is stored. */
  readonly ackDelayMs: number;
  /** Time to live of every message; a message's own, if lower, wins. Null: none. */
  readonly ttlMs: number | null;
  /** Null: no limit but the platform's. Counts every unsettled message that is not dead. */
  readonly maxMessages: number | null;
  readonly maxBytes: number | null;
  /** reject: the publisher gets `queue_full`. dropOldest: the oldest waiting message is dead-lettered (`overflow`). */
  readonly overflow: "reject" | "dropOldest";
  /** Messages with the same ordering key are delivered one after the other, in publish order. */
  readonly fifo: boolean;
  /** Messages of one key that may be out at a time. Above 1, a key's order is only that of first deliveries. */
  readonly maxPerKey: number;
  /**
   * A key's messages are out in one delivery at a time: it may hold up to maxPerKey of them, in their order. Nothing goes
   * out behind a message that is out; one that came back may go before those that still are.
   */
  readonly oneDeliveryPerKey: boolean;
  readonly onKeyFailure: OnKeyFailure;
  /**
   * A late extend or reject of a message that was given out again. fenced: it is refused. follow: it acts on the delivery
   * that holds the message now. An ack is fenced either way.
   */
  readonly lateChanges: "fenced" | "follow";
  /**
   * Lanes that messages with an ordering key are spread over, by their key; deliveries take from the lanes in turn, so that
   * a key with a long backlog holds up those of its own lane only. Such a queue knows no priorities, and order only within
   * a lane. 0: one line for all. Not in FIFO queues.
   */
  readonly fairLanes: number;
  /** How long a dedup id is remembered after it was accepted, whatever became of the message. */
  readonly dedupWindowMs: number;
  /** A message without a dedup id has one all the same: the SHA-256 of its body, in hex. */
  readonly dedupByContent: boolean;
  /** Whether the same dedup id under another ordering key is a duplicate. */
  readonly dedupScope: "queue" | "key";
  /** Dedup ids and producers are everyone's, whoever's token publishes under them. False: they are each subject's own. */
  readonly dedupAcrossSubjects: boolean;
  /** Fields that every message must have. */
  readonly required: readonly RequiredField[];
  /** Only one consumer at a time receives; when it goes, the next in line takes over. */
  readonly singleActiveConsumer: boolean;
  readonly bodyBytesMax: number;
  /**
   * Objects that the queue is spread over: by ordering key in a FIFO queue, else evenly. May grow, never shrink. Limits of
   * messages and bytes are shared out evenly; order, and the single active consumer, are each partition's.
   */
  readonly partitions: number;
  /** What others note about the queue. The broker keeps it and reads nothing in it. */
  readonly labels: Readonly<Record<string, string>>;
}

/** What an update says: a label of null is taken away, and labels that it does not name stay. */
export type QueueChanges = Partial<Omit<QueueConfig, "labels">> & {
  readonly labels?: Readonly<Record<string, string | null>>;
};

export type RequiredField = "orderingKey" | "dedupId";

/** The configuration as it is after an update. */
export function withChanges(known: QueueConfig, { labels = {}, ...changes }: QueueChanges): QueueConfig {
  const kept = Object.entries({ ...known.labels, ...labels }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  return { ...known, ...changes, labels: Object.fromEntries(kept) };
}

/** Fields without which a message is refused: what the queue makes of its content is not among them. */
export function mustCarry({ required, dedupByContent }: QueueConfig): RequiredField[] {
  return required.filter((field) => field !== "dedupId" || !dedupByContent);
}

export const QUEUE_DEFAULTS: QueueConfig = {
  leaseMs: LIMITS.leaseMsDefault,
  maxFailures: 5,
  lastAttemptAlone: true,
  retry: { kind: "exponential", baseMs: 1_000, maxMs: 300_000, jitter: 0.2 },
  nackDelayMs: 500,
  deadLetter: null,
  deadLetterFrom: null,
  onExpiry: "deadLetter",
  delayMs: 0,
  receiveWaitMs: 0,
  ackDelayMs: 0,
  ttlMs: null,
  maxMessages: null,
  maxBytes: null,
  overflow: "reject",
  fifo: false,
  maxPerKey: 1,
  oneDeliveryPerKey: false,
  onKeyFailure: "park",
  lateChanges: "fenced",
  fairLanes: 0,
  dedupWindowMs: LIMITS.dedupWindowMsDefault,
  dedupByContent: false,
  dedupScope: "queue",
  dedupAcrossSubjects: false,
  required: [],
  singleActiveConsumer: false,
  bodyBytesMax: LIMITS.bodyBytesMax,
  partitions: 1,
  labels: {},
};
