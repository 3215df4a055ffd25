/**
 * What one session has been sent and not yet seen. Beyond a bound it is slow, and its subscriptions lose events as
 * each one's policy says; when it has caught up by half it is told what it lost, and goes on.
 *
 *   live ──over the bound──► slow ──seen half──► live, after the conflated events and a gap for each loss
 */
import type { SlowPolicy } from "../protocol/session-frames.ts";
import { LIMITS } from "../protocol/limits.ts";

/** An event that was left out, as much as is needed to send it later. */
export interface LeftOut<E> {
  readonly exchange: string;
  readonly pattern: string;
  readonly epoch: string;
  readonly offset: number;
  readonly topic: string;
  readonly bytes: number;
  readonly event: E;
}

export interface Loss<E> {
  readonly exchange: string;
  readonly pattern: string;
  readonly epoch: string;
  /** The last event left out. */
  readonly offset: number;
  /** How many were left out and are not among `kept`. */
  readonly events: number;
  /** The last of each topic, in the order of their offsets. */
  readonly kept: readonly E[];
}

interface Losing<E> {
  exchange: string;
  pattern: string;
  epoch: string;
  offset: number;
  events: number;
  readonly kept: Map<string, LeftOut<E>>;
}

export class Flow<E> {
  /** Sizes of the event frames that are out, the oldest first. */
  private readonly out: number[] = [];
  private outBytes = 0;
  private seenFrames: number;
  private losing: Map<string, Losing<E>> | null = null;
  private keptBytes = 0;
  private keptTopics = 0;

  /** `framesBefore`: frames of this connection that an earlier life of the hub sent; they count as seen. */
  constructor(framesBefore = 0) {
    this.seenFrames = framesBefore;
  }

  /** Event frames of this connection, as far as is known. */
  get sentFrames(): number {
    return this.seenFrames + this.out.length;
  }

  get isSlow(): boolean {
    return this.losing !== null;
  }

  /**
   * A frame is about to be sent: false when it must be left out. While no more than half is out any frame fits, whatever
   * its size: a client may have read all of that without having said so, and would never be heard of again.
   */
  admit(bytes: number): boolean {
    if (this.losing !== null) return false;
    const isHalf = this.outBytes > LIMITS.unseenBytesMax / 2;
    if (isHalf && this.outBytes + bytes > LIMITS.unseenBytesMax) {
      this.losing = new Map();
      return false;
    }
    this.sent(bytes);
    return true;
  }

  /** A frame that is sent whatever the bound: what was asked for, and what was kept. */
  sent(bytes: number): void {
    this.out.push(bytes);
    this.outBytes += bytes;
  }

  leaveOut(event: LeftOut<E>, policy: SlowPolicy): void {
    const loss = this.lossOf(event);
    // What a later event of its topic replaces is lost, even when that one finds no room: it would be old.
    this.drop(loss, event.topic);
    if (policy !== "conflate" || !this.hasRoomFor(event.bytes)) {
      loss.events++;
      return;
    }
    // At the end of the map, which is in the order of the offsets.
    loss.kept.set(event.topic, event);
    this.keptBytes += event.bytes;
    this.keptTopics++;
  }

  private lossOf({ exchange, pattern, epoch, offset }: LeftOut<E>): Losing<E> {
    const losing = (this.losing ??= new Map<string, Losing<E>>());
    const key = `${exchange} ${pattern}`;
    let loss = losing.get(key);
    if (loss === undefined) {
      loss = { exchange, pattern, epoch, offset, events: 0, kept: new Map<string, LeftOut<E>>() };
      losing.set(key, loss);
    }
    // Kept events of an earlier numbering can't be told under this one.
    if (loss.epoch !== epoch) for (const topic of loss.kept.keys()) this.drop(loss, topic);
    return Object.assign(loss, { epoch, offset });
  }

  private drop(loss: Losing<E>, topic: string): void {
    const kept = loss.kept.get(topic);
    if (kept === undefined) return;
    loss.kept.delete(topic);
    loss.events++;
    this.keptBytes -= kept.bytes;
    this.keptTopics--;
  }

  private hasRoomFor(bytes: number): boolean {
    return this.keptBytes + bytes <= LIMITS.conflatedBytesMax && this.keptTopics < LIMITS.conflatedTopicsMax;
  }

  /**
   * The client says how many event frames of this connection it has read. More than were sent counts as all. The losses
   * to tell, when it has caught up.
   */
  seen(frames: number): Loss<E>[] {
    while (this.seenFrames < frames && this.out.length > 0) {
      this.outBytes -= this.out.shift()!;
      this.seenFrames++;
    }
    if (this.losing === null || this.outBytes > LIMITS.unseenBytesMax / 2) return [];
    const losses = [...this.losing.values()].map(({ kept, ...loss }) => ({
      ...loss,
      kept: [...kept.values()].map(({ event }) => event),
    }));
    this.losing = null;
    this.keptBytes = 0;
    this.keptTopics = 0;
    return losses;
  }

  /** A subscription is gone: what it lost needs no telling. */
  forget(exchange: string, pattern: string): void {
    const key = `${exchange} ${pattern}`;
    const loss = this.losing?.get(key);
    if (loss === undefined) return;
    for (const topic of loss.kept.keys()) this.drop(loss, topic);
    this.losing?.delete(key);
  }
}
