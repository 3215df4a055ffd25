/** Events of an exchange, as a subscriber sees them. */
import { BATCH_HEADER_BYTES, readBatchHeader, type MessageRecord } from "../protocol/batch.ts";
import type { SessionServerFrame } from "../protocol/session-frames.ts";
import { readRecord } from "../protocol/record.ts";
import { Content } from "./content.ts";
import { recordOfJson } from "./delivery.ts";
import { MillraceError } from "./errors.ts";

export type EventsFrame = Extract<SessionServerFrame, { type: "events" }>;

/** Where an event stands among those of its exchange. */
export interface Position {
  /** Which numbering: it changes when the exchange begins anew. */
  readonly epoch: string;
  readonly offset: number;
}

export function formatPosition({ epoch, offset }: Position): string {
  return `${epoch}:${offset}`;
}

/** Throws `bad_request`. */
export function parsePosition(text: string): Position {
  const match = /^([0-9a-z]{1,11}):(\d{1,16})$/.exec(text);
  if (match === null) {
    throw new MillraceError("bad_request", `since: "${text}" is not a position, as an event has it`);
  }
  return { epoch: match[1]!, offset: Number(match[2]) };
}

/** What the events of one frame share. */
interface EventSource {
  readonly epoch: string;
  readonly timeMs: number;
  readonly from: EventsFrame["from"];
}

export class ExchangeEvent extends Content implements Position {
  readonly offset: number;
  readonly epoch: string;
  /** snapshot: the last event of its topic. recovered: missed while away, or asked of the past. Absent: live. */
  readonly from?: "snapshot" | "recovered";
  private readonly source: EventSource;
  private readonly decode: () => MessageRecord;

  /** @internal */
  constructor(source: EventSource, offset: number, decode: () => MessageRecord) {
    super();
    this.source = source;
    this.offset = offset;
    this.epoch = source.epoch;
    this.decode = decode;
    if (source.from !== undefined) this.from = source.from;
  }

  protected override read(): MessageRecord {
    return this.decode();
  }

  /** `<epoch>:<offset>`: what a later subscription gives as `since` to go on after this event. */
  get position(): string {
    return formatPosition(this);
  }
  /** The routing key that it was published with. */
  get topic(): string {
    return this.record.routingKey ?? "";
  }
  /** When the exchange accepted it, in ms since 1970 by the broker's clock. */
  get timeMs(): number {
    return this.record.timeMs ?? this.source.timeMs;
  }
  /** Only of a message that was in a queue before: a dead letter. */
  get id(): string | undefined {
    return this.record.id;
  }
}

/** Nothing of a record is decoded here, but of events that come as JSON. */
export function eventsOfFrame(frame: EventsFrame, payload: Uint8Array): ExchangeEvent[] {
  const { epoch, from } = frame;
  if (frame.events !== undefined) {
    return frame.events.map(
      (json) =>
        new ExchangeEvent({ epoch, from, timeMs: json.timeMs }, json.offset, () => recordOfJson(json)),
    );
  }
  if (payload.length === 0) return [];
  const source = { epoch, from, timeMs: frame.timeMs ?? readBatchHeader(payload).timeMs };
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const events: ExchangeEvent[] = [];
  let at = BATCH_HEADER_BYTES;
  for (const [first, count] of frame.offsets ?? []) {
    for (let i = 0; i < count; i++) {
      const place = at;
      events.push(new ExchangeEvent(source, first + i, () => readRecord(payload, place)));
      at += 4 + view.getUint32(at, true);
    }
  }
  return events;
}
