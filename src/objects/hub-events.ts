/**
 * Events on their way to the sessions of a hub: pushes in, frames out. A subscription that asks for the past gets that
 * first; live events are held meanwhile, so that nothing is missed in between and order is kept.
 */
import type { BatchCodec } from "../protocol/batch.ts";
import type { EventBatch, HubPush, ReplayPage } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { assert } from "../protocol/assert.ts";
import { indexesOf } from "../protocol/runs.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import { EventFrames, jsonFrame, type FrameHead } from "../hub/event-frames.ts";
import type { Loss } from "../hub/flow.ts";
import { subscriptionOf, type Subscription } from "../hub/session.ts";
import { mayIn, type AudienceShare, type Subscribers } from "../hub/subscribers.ts";
import type { ExchangeLinks } from "./exchange-links.ts";
import { pendingKey, type KeptEvent, type LiveSession, type PendingReplay } from "./live-session.ts";

export interface HubEventsPorts {
  readonly codec: BatchCodec;
  readonly subscribers: Subscribers;
  readonly links: ExchangeLinks;
  live(session: number): LiveSession | null;
  /** Ends every subscription of the exchange here, so that their sessions subscribe anew. */
  interrupt(exchange: string): void;
  /** Ends a session that does not keep up, and would have it so. */
  end(live: LiveSession, refusal: Refusal): void;
}

export class HubEvents {
  private readonly ports: HubEventsPorts;
  sent = 0;
  dropped = 0;

  constructor(ports: HubEventsPorts) {
    this.ports = ports;
  }

  /** Events that were seen already are left out: an exchange that woke may push its last ones again. */
  push({ exchange, attachment, epoch, first, batch }: HubPush): void {
    if (!this.ports.links.admit(exchange, attachment)) return;
    const scanned = this.ports.codec.scan(batch, "broker");
    assert(scanned.ok, "an exchange pushed a damaged batch");
    const table = scanned.value;
    const link = this.ports.links.get(exchange);
    const isKnown = link !== null && link.epoch === epoch;
    const seen = isKnown ? link.offset : first - 1;
    if (first > seen + 1) this.ports.interrupt(exchange);
    const frames = new EventFrames(this.ports.codec, { batch, table, offsets: (index) => first + index });
    for (const share of this.ports.subscribers.share(exchange, batch, table)) {
      const indexes = first > seen ? share.indexes : share.indexes.filter((index) => first + index > seen);
      if (indexes.length > 0) this.tell({ ...share, indexes }, frames, epoch);
    }
    this.ports.links.note(exchange, epoch, first + table.count - 1);
  }

  /** One frame for the whole audience; only those who came in the middle of the batch get one of their own. */
  private tell({ audience, indexes }: AudienceShare, frames: EventFrames, epoch: string): void {
    const head = { exchange: audience.exchange, pattern: audience.pattern, epoch };
    let common: string | Uint8Array | null = null;
    for (const { session, subscription } of audience.subscribers.values()) {
      const live = this.ports.live(session);
      if (live === null) continue;
      const own = withoutEarlier(subscription, epoch, frames, indexes);
      const pending = live.pending.get(pendingKey(head.exchange, head.pattern));
      if (own.length === 0) continue;
      if (pending) holdBack(live, pending, frames, own, epoch);
      else if (own === indexes) {
        common ??= frameOf(frames, head, subscription.format, indexes);
        this.offer(live, subscription, frames, own, epoch, common);
      } else
        this.offer(live, subscription, frames, own, epoch, frameOf(frames, head, subscription.format, own));
    }
  }

  private offer(
    live: LiveSession,
    subscription: Subscription,
    frames: EventFrames,
    indexes: readonly number[],
    epoch: string,
    frame: string | Uint8Array,
  ): void {
    if (!live.isStalled && live.flow.admit(frame.length)) {
      this.sent += indexes.length;
      live.sendEvents(frame);
      return;
    }
    this.dropped += indexes.length;
    if (subscription.onSlow === "disconnect") {
      this.ports.end(
        live,
        refuse("too_slow", `session: has ${LIMITS.unseenBytesMax} bytes of events unseen`),
      );
      return;
    }
    if (!live.session.isSlow) {
      live.save({ ...live.session, isSlow: true });
      live.send({ type: "slow", frames: live.flow.sentFrames });
    }
    const { exchange, pattern, onSlow } = subscription;
    for (const index of indexes) {
      const topic = frames.topic(index);
      const event = onSlow === "conflate" ? keptOf(subscription, epoch, frames, index) : NOT_KEPT;
      const bytes = "text" in event ? event.text.length : event.frame.length;
      live.flow.leaveOut(
        { exchange, pattern, epoch, offset: frames.offset(index), topic, bytes, event },
        onSlow,
      );
    }
  }

  /** The client has read: what it lost is told, and it goes on. */
  seen(live: LiveSession, frames: number): void {
    for (const loss of live.flow.seen(frames)) this.tellLoss(live, loss);
    const { sentFrames } = live.flow;
    if (sentFrames !== live.session.framesSent) live.save({ ...live.session, framesSent: sentFrames });
    if (live.session.isSlow && !live.flow.isSlow) live.save({ ...live.session, isSlow: false });
  }

  private tellLoss(live: LiveSession, loss: Loss<KeptEvent>): void {
    const { exchange, pattern, epoch, offset, events, kept } = loss;
    const subscription = subscriptionOf(live.session, exchange, pattern);
    if (subscription === null) return;
    if (events > 0) live.send({ type: "gap", exchange, pattern, epoch, offset, reason: "slow", events });
    if (kept.length === 0) return;
    this.sent += kept.length;
    this.dropped -= kept.length;
    const texts = kept.flatMap((event) => ("text" in event ? [event.text] : []));
    const frames: (string | Uint8Array)[] = kept.flatMap((event) => ("frame" in event ? [event.frame] : []));
    if (texts.length > 0) frames.push(jsonFrame({ exchange, pattern, epoch }, texts));
    for (const frame of frames) {
      live.flow.sent(frame.length);
      live.sendEvents(frame);
    }
  }

  // The past

  begin(live: LiveSession, exchange: string, pattern: string): PendingReplay {
    const pending: PendingReplay = {
      held: [],
      bytes: 0,
      isStarted: false,
      interrupted: null,
      unheld: [],
      rest: null,
    };
    live.pending.set(pendingKey(exchange, pattern), pending);
    return pending;
  }

  /** Whether the subscription still waits for this very answer. */
  isCurrent(live: LiveSession, exchange: string, pattern: string, pending: PendingReplay): boolean {
    return live.pending.get(pendingKey(exchange, pattern)) === pending;
  }

  tellPast(live: LiveSession, subscription: Subscription, page: Omit<ReplayPage, "rest">): void {
    const { exchange, pattern, epoch } = subscription;
    const head = { exchange, pattern, epoch };
    this.sendPast(live, subscription, { ...head, from: "snapshot" }, page.snapshot);
    this.sendPast(live, subscription, { ...head, from: "recovered" }, page.events);
  }

  /** The past has been told: now what came meanwhile. */
  finish(live: LiveSession, subscription: Subscription, pending: PendingReplay): void {
    const { exchange, pattern } = subscription;
    live.pending.delete(pendingKey(exchange, pattern));
    for (const { frames, indexes, epoch } of pending.held) {
      const own = withoutEarlier(subscription, epoch, frames, indexes);
      if (own.length === 0) continue;
      const frame = frameOf(frames, { exchange, pattern, epoch }, subscription.format, own);
      this.offer(live, subscription, frames, own, epoch, frame);
    }
    const lost = pending.unheld.filter(({ epoch, offset }) => isLater(subscription, epoch, offset));
    if (lost.length > 0) this.tellUnheld(live, subscription, lost);
  }

  private tellUnheld(
    live: LiveSession,
    { exchange, pattern }: Subscription,
    lost: PendingReplay["unheld"],
  ): void {
    const { epoch, offset } = lost.at(-1)!;
    const events = lost.reduce((sum, one) => sum + one.events, 0);
    const head = { exchange, pattern, epoch, offset };
    this.dropped += events;
    if (!live.flow.isSlow) live.send({ type: "gap", ...head, reason: "slow", events });
    // Others were left out before them: all of it is told together, when it has caught up.
    else
      for (let i = 0; i < events; i++)
        live.flow.leaveOut({ ...head, topic: "", bytes: 0, event: NOT_KEPT }, "drop");
  }

  private sendPast(
    live: LiveSession,
    subscription: Subscription,
    head: FrameHead,
    batches: readonly EventBatch[],
  ): void {
    for (const { batch, offsets } of batches) {
      const scanned = this.ports.codec.scan(batch, "broker");
      assert(scanned.ok, "an exchange replayed a damaged batch");
      const places = [...indexesOf(offsets)];
      const table = scanned.value;
      const frames = new EventFrames(this.ports.codec, { batch, table, offsets: (index) => places[index]! });
      const indexes = places
        .map((_, index) => index)
        .filter((index) => mayIn(subscription, frames.topic(index)));
      if (indexes.length === 0) continue;
      const frame = frameOf(frames, head, subscription.format, indexes);
      live.flow.sent(frame.length);
      this.sent += indexes.length;
      live.sendEvents(frame);
    }
  }
}

function withoutEarlier(
  subscription: Subscription,
  epoch: string,
  frames: EventFrames,
  indexes: readonly number[],
): readonly number[] {
  if (isLater(subscription, epoch, frames.offset(indexes[0]!))) return indexes;
  return indexes.filter((index) => isLater(subscription, epoch, frames.offset(index)));
}

/** Whether an event is behind the place where the subscription began. */
function isLater(since: Pick<Subscription, "epoch" | "after">, epoch: string, offset: number): boolean {
  return since.epoch !== epoch || offset > since.after;
}

const NOT_KEPT: KeptEvent = { text: "" };

function keptOf(
  { exchange, pattern, format }: Subscription,
  epoch: string,
  frames: EventFrames,
  index: number,
): KeptEvent {
  if (format === "json") return { text: frames.text(index) };
  return { frame: frames.binary({ exchange, pattern, epoch }, [index]) };
}

function holdBack(
  live: LiveSession,
  pending: PendingReplay,
  frames: EventFrames,
  indexes: readonly number[],
  epoch: string,
): void {
  if (pending.unheld.length === 0 && live.heldBytes + frames.batchBytes <= LIMITS.unseenBytesMax) {
    pending.bytes += frames.batchBytes;
    pending.held.push({ frames, indexes, epoch });
  } else pending.unheld.push({ epoch, offset: frames.offset(indexes.at(-1)!), events: indexes.length });
}

function frameOf(
  frames: EventFrames,
  head: FrameHead,
  format: Subscription["format"],
  indexes: readonly number[],
): string | Uint8Array {
  return format === "json" ? frames.json(head, indexes) : frames.binary(head, indexes);
}
