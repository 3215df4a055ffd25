// A session's frames: each is checked and given to the part that does it; what is refused is told with its `ref`.
import type { BatchCodec } from "../protocol/batch.ts";
import { parseSessionFrame } from "../protocol/exchange-schemas.ts";
import { decodeFrame } from "../protocol/frames.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import type { SessionClientFrame } from "../protocol/session-frames.ts";
import type { HubCalls } from "./hub-calls.ts";
import type { HubConsumers } from "./hub-consumers.ts";
import type { HubEvents } from "./hub-events.ts";
import type { HubPresence } from "./hub-presence.ts";
import type { HubSubscriptions } from "./hub-subscriptions.ts";
import type { LiveSession } from "./live-session.ts";

export interface HubParts {
  readonly codec: BatchCodec;
  readonly events: HubEvents;
  readonly presence: HubPresence;
  readonly subscriptions: HubSubscriptions;
  readonly consumers: HubConsumers;
  readonly calls: HubCalls;
}

export class HubFrames {
  private readonly parts: HubParts;

  constructor(parts: HubParts) {
    this.parts = parts;
  }

  async handle(live: LiveSession, data: string | ArrayBuffer): Promise<void> {
    if (data === "ping") {
      // Only a ping that came before the automatic answer was set gets here.
      live.sendRaw("pong");
      return;
    }
    const decoded = decodeFrame(data);
    if (!decoded.ok) return live.refuse(null, decoded);
    const ref = refOf(decoded.value.head);
    const frame = parseSessionFrame(decoded.value.head);
    if (!frame.ok) return live.refuse(ref, frame);
    let refusal: Refusal | null;
    try {
      refusal = await this.carryOut(live, frame.value, decoded.value.payload);
    } catch (error) {
      console.error("a frame failed", { frame: frame.value.type, error: String(error) });
      refusal = refuse("unavailable", "the broker can't answer now; whether it was done is unknown");
    }
    if (refusal) live.refuse(ref, refusal);
  }

  private async carryOut(
    live: LiveSession,
    frame: SessionClientFrame,
    payload: Uint8Array,
  ): Promise<Refusal | null> {
    const { events, presence, subscriptions, consumers, calls } = this.parts;
    const ref = "ref" in frame && frame.ref !== undefined ? frame.ref : null;
    switch (frame.type) {
      case "ping":
        live.send({ type: "pong", ref });
        return null;
      case "subscribe":
        return subscriptions.subscribe(live, frame);
      case "unsubscribe":
        return subscriptions.unsubscribe(live, frame.exchange, frame.pattern, ref);
      case "seen":
        events.seen(live, frame.frames);
        return null;
      case "reached":
        if (!live.reached(frame.mark)) return null;
        events.seen(live, 0);
        await subscriptions.goOn(live);
        return null;
      case "publish":
        return calls.publish(live, frame, payload);
      case "call":
        return calls.call(live, frame, payload);
      case "reply":
        return calls.reply(live, frame, payload);
      case "consume":
        return consumers.inOrder(live, frame.queue, () => consumers.consume(live, frame));
      case "credit":
        return consumers.inOrder(live, frame.queue, () => consumers.credit(live, frame.queue, frame.credit));
      case "settle":
        return consumers.settle(live, frame.queue, frame.settlements, ref);
      case "cancel":
        return consumers.inOrder(live, frame.queue, () => consumers.cancel(live, frame.queue));
      case "presence":
        return presence.ask(live, frame);
      case "unwatch":
        return presence.unwatch(live, frame.exchange, frame.pattern, ref);
    }
  }
}

function refOf(head: unknown): number | null {
  const ref = typeof head === "object" && head !== null && "ref" in head ? head.ref : null;
  return typeof ref === "number" ? ref : null;
}
