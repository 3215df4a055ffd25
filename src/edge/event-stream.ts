/**
 * Events as a text/event-stream (WHATWG HTML §9.2). The stream is pulled: a frame becomes text when the reader asks for
 * more, and is `seen` then. So a reader that is slow is slow at the hub, and holds no more here than the hub sends
 * unseen.
 */
import { assert } from "../protocol/assert.ts";
import { readBatchHeader, type BatchCodec } from "../protocol/batch.ts";
import { eventToJson } from "../protocol/message-json.ts";
import { readRecord } from "../protocol/record.ts";
import type { SessionServerFrame } from "../protocol/session-frames.ts";
import type { HubSession, ReceivedFrame } from "./hub-session.ts";

export type SubscribedFrame = Extract<SessionServerFrame, { type: "subscribed" }>;

/** How long an EventSource waits before it connects again. */
const RETRY_MS = 2_000;
/** Proxies close what is silent for longer; many allow 30 s. */
const HEARTBEAT_MS = 25_000;
const HEARTBEAT = ":\n\n";

export interface EventStreamOptions {
  readonly session: HubSession;
  readonly subscribed: SubscribedFrame;
  /** The last so many events were asked for, so the subscription's own position is not yet the reader's. */
  readonly isReplaying: boolean;
  readonly codec: BatchCodec;
}

/** What a pull comes to. */
interface Piece {
  /** Empty only at the end. */
  readonly text: string;
  readonly isLast?: boolean;
}

export function eventStream(options: EventStreamOptions): ReadableStream<Uint8Array> {
  const { session } = options;
  const encoder = new TextEncoder();
  let isCancelled = false;
  let opening: string | null = `retry: ${RETRY_MS}\n\n${subscribedText(options)}`;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece: Piece = opening === null ? await nextPiece(options) : { text: opening };
        opening = null;
        if (isCancelled) return;
        if (piece.text !== "") controller.enqueue(encoder.encode(piece.text));
        if (piece.isLast !== true) return;
        session.close();
        controller.close();
      },
      cancel() {
        isCancelled = true;
        session.close();
      },
    },
    // Nothing is taken from the session before the reader asks.
    { highWaterMark: 0 },
  );
}

async function nextPiece(options: EventStreamOptions): Promise<Piece> {
  const next = await options.session.next(HEARTBEAT_MS);
  if (next === "silence") return { text: HEARTBEAT };
  // The client connects again and says where it was.
  return next === null ? { text: "", isLast: true } : pieceOf(next, options);
}

function pieceOf({ frame, payload, bytes }: ReceivedFrame, options: EventStreamOptions): Piece {
  if (frame.type === "events") {
    options.session.seen(bytes);
    return { text: eventsText(frame, payload, options.codec) };
  }
  if (frame.type === "gap") return { text: controlText("gap", frame) };
  if (frame.type === "unsubscribed") return { text: controlText("unsubscribed", frame), isLast: true };
  return frame.type === "error" ? { text: "", isLast: true } : { text: HEARTBEAT };
}

/**
 * With the position as its id, so that whoever is cut off before the first event misses none. When older events follow,
 * there is no id: the reader has not got so far.
 */
function subscribedText({ subscribed, isReplaying }: EventStreamOptions): string {
  const { epoch, offset, recovery } = subscribed;
  const id = recovery === "fresh" && !isReplaying ? `id: ${epoch}:${offset}\n` : "";
  return id + controlText("subscribed", subscribed);
}

function controlText(
  event: string,
  { type: _type, ...rest }: Extract<SessionServerFrame, { type: "subscribed" | "gap" | "unsubscribed" }>,
): string {
  const facts = Object.fromEntries(Object.entries(rest).filter(([name]) => name !== "ref"));
  return `event: ${event}\ndata: ${JSON.stringify(facts)}\n\n`;
}

type EventsFrame = Extract<SessionServerFrame, { type: "events" }>;

/** A last value has no id: it is older than what the reader may have got already. */
function eventsText(frame: EventsFrame, payload: Uint8Array, codec: BatchCodec): string {
  const { exchange, epoch, from, offsets = [] } = frame;
  const places = offsets.flatMap(([first, count]) =>
    Array.from({ length: count }, (_, index) => first + index),
  );
  const table = codec.scan(payload, "broker");
  assert(table.ok && table.value.count === places.length, "an event frame holds a damaged batch");
  const { timeMs } = readBatchHeader(payload);
  const { value } = table;
  return places
    .map((offset, index) => {
      const event = eventToJson(readRecord(payload, value.offset(index)), offset, timeMs);
      const id = from === "snapshot" ? "" : `id: ${epoch}:${offset}\n`;
      return `${id}data: ${JSON.stringify({ exchange, ...(from && { from }), ...event })}\n\n`;
    })
    .join("");
}
