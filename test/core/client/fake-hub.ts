// A hub and its exchanges, in memory, behind a fake WebSocket: sessions that come back with their inbox, events with
// offsets, a history, and the verdict on what was missed. What it does by itself can be turned off.
import { matches } from "../../../src/routing/topic.ts";
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import type { RouteConfirm } from "../../../src/protocol/exchange-commands.ts";
import { readRecord } from "../../../src/protocol/record.ts";
import type {
  SessionClientFrame,
  SessionServerFrame,
  UnsubscribeReason,
} from "../../../src/protocol/session-frames.ts";
import { TypeScriptBatchCodec } from "../../../src/protocol/typescript-batch-codec.ts";
import type { WebSocketConstructor } from "../../../src/client/socket.ts";
import { FakeSocket, newable } from "./fake-socket.ts";

export type HubSocket = FakeSocket<SessionClientFrame, SessionServerFrame>;
type In<T extends SessionClientFrame["type"]> = Extract<SessionClientFrame, { type: T }>;
export interface Stored {
  readonly offset: number;
  readonly topic: string;
  readonly body: string;
}
export interface Asked {
  readonly frame: SessionClientFrame;
  readonly record: MessageRecord | null;
}

const codec = new TypeScriptBatchCodec();
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function batchOf(records: readonly MessageRecord[]): Uint8Array {
  const batch = codec.encode(records, { origin: 7, firstSequence: 1, timeMs: 1_700_000_000_000 }, "broker");
  if (!batch.ok) throw new Error(batch.detail);
  return batch.value;
}

export function recordsOf(payload: Uint8Array): MessageRecord[] {
  const table = codec.scan(payload, "client");
  if (!table.ok) throw new Error(table.detail);
  return Array.from({ length: table.value.count }, (_, i) => readRecord(payload, table.value.offset(i)));
}

export class FakeHub {
  readonly sockets: HubSocket[] = [];
  readonly asked: Asked[] = [];
  answersPings = true;
  handshake: "accept" | "refuse" = "accept";
  /** Keeps sessions, so that an inbox is found again. */
  keepsInbox = true;
  epoch = "e1";
  /** Everything that was published to the one exchange there is. */
  readonly log: Stored[] = [];
  /** Events kept; 0: none. */
  historyMax = Infinity;
  /** Types of frames that a test answers itself. */
  readonly silent = new Set<SessionClientFrame["type"]>();
  /** Refusals of the next frames of a type. */
  readonly refusals: { type: SessionClientFrame["type"]; code: string; facts?: Record<string, number> }[] =
    [];
  confirm: (count: number) => Partial<RouteConfirm> = () => ({});
  offset = 0;
  private readonly subscribed = new Map<HubSocket, Map<string, In<"subscribe">>>();

  readonly WebSocket: WebSocketConstructor = newable((url, protocols) => {
    const socket: HubSocket = new FakeSocket(this, url, protocols);
    this.sockets.push(socket);
    queueMicrotask(() => this.greet(socket));
    return socket;
  });

  get last(): HubSocket {
    return this.sockets.at(-1)!;
  }

  private greet(socket: HubSocket): void {
    if (this.handshake === "refuse") return socket.lose();
    socket.emit("open");
    const before = socket.protocols.find((one) => one.startsWith("resume."))?.slice("resume.".length);
    const resume = before !== undefined && this.keepsInbox ? before : `h1.${this.sockets.length}.secret`;
    socket.tell({ type: "hello", hub: "h1", inbox: `~${resume}`.replace("secret", "tag"), resume });
  }

  take(socket: HubSocket, frame: SessionClientFrame, payload: Uint8Array): void {
    if (!socket.isOpen) return;
    this.asked.push({ frame, record: payload.length === 0 ? null : recordsOf(payload)[0]! });
    const ref = "ref" in frame ? (frame.ref ?? null) : null;
    const refusal = this.refusals.findIndex(({ type }) => type === frame.type);
    if (refusal >= 0) {
      const [{ code, facts } = { code: "internal" }] = this.refusals.splice(refusal, 1);
      const more = facts === undefined ? {} : { facts };
      socket.tell({ type: "error", ref, code: code as "internal", detail: "no", ...more });
    } else if (!this.silent.has(frame.type)) this.answer(socket, frame, payload, ref);
  }

  private answer(
    socket: HubSocket,
    frame: SessionClientFrame,
    payload: Uint8Array,
    ref: number | null,
  ): void {
    if (frame.type === "subscribe") this.subscribe(socket, frame);
    else if (frame.type === "unsubscribe") {
      const { exchange, pattern } = frame;
      this.subscribed.get(socket)?.delete(pattern);
      socket.tell({ type: "unsubscribed", ref, exchange, pattern, reason: "asked" });
    } else if (frame.type === "ping") socket.tell({ type: "pong", ref });
    else if (frame.type === "reply") socket.tell({ type: "replied", ref });
    else if (frame.type === "publish") {
      const records = recordsOf(payload);
      for (const record of records) this.publish(record.routingKey ?? "", decoder.decode(record.body));
      const confirm = { matched: records.map(() => 1), delayed: [], failed: [], returned: [] };
      const position = `${this.epoch}:${this.offset}`;
      const changed = { ...confirm, position, ...this.confirm(records.length) };
      socket.tell({ type: "routed", ref, exchange: frame.exchange ?? "", ...changed });
    }
  }

  /** To the log, and to everyone who subscribes now. */
  publish(topic: string, body = topic): void {
    const event = { offset: ++this.offset, topic, body };
    this.log.push(event);
    for (const [socket, subscriptions] of this.subscribed) {
      for (const one of subscriptions.values())
        if (matches(one.pattern, topic)) this.send(socket, one, [event]);
    }
  }
  /** Nobody hears of it. */
  publishUnheard(topic: string, body = topic): void {
    this.log.push({ offset: ++this.offset, topic, body });
  }

  send(
    socket: HubSocket,
    { exchange, pattern, format }: Pick<In<"subscribe">, "exchange" | "pattern" | "format">,
    events: readonly Stored[],
    from?: "snapshot" | "recovered",
  ): void {
    if (events.length === 0) return;
    const head = { type: "events", exchange, pattern, epoch: this.epoch } as const;
    const more = from === undefined ? {} : { from };
    if (format === "json") {
      const texts = events.map(({ offset, topic, body }) => ({ offset, timeMs: 5, routingKey: topic, body }));
      socket.tell({ ...head, ...more, events: texts });
      return;
    }
    const batch = batchOf(
      events.map(({ topic, body }) => ({ routingKey: topic, body: encoder.encode(body) })),
    );
    const offsets = events.map(({ offset }): [number, number] => [offset, 1]);
    socket.tell({ ...head, ...more, offsets }, batch);
  }

  private subscribe(socket: HubSocket, frame: In<"subscribe">): void {
    const { exchange, pattern, since, last, lastValues } = frame;
    const subscriptions = this.subscribed.get(socket) ?? new Map<string, In<"subscribe">>();
    this.subscribed.set(socket, subscriptions);
    subscriptions.set(pattern, frame);
    const [epoch, after] = since?.split(":") ?? [this.epoch, "0"];
    const first = this.offset - Math.min(this.historyMax, this.log.length) + 1;
    const isWhole = epoch === this.epoch && (Number(after) + 1 >= first || Number(after) === this.offset);
    const gap =
      epoch === this.epoch ? (this.historyMax === 0 ? "no_history" : "expired") : ("new_epoch" as const);
    const matching = this.log.filter(({ topic }) => matches(pattern, topic));
    const from = epoch === this.epoch ? Number(after) : 0;
    const kept = matching.filter(({ offset }) => offset >= first);
    const missed =
      since === undefined
        ? kept.slice(kept.length - (last ?? 0))
        : kept.filter(({ offset }) => offset > from);
    const verdict =
      since === undefined
        ? ({ recovery: "fresh" } as const)
        : isWhole
          ? ({ recovery: "complete" } as const)
          : ({ recovery: "gap", reason: gap } as const);
    const ref = frame.ref ?? null;
    const { offset } = this;
    socket.tell({ type: "subscribed", ref, exchange, pattern, epoch: this.epoch, offset, ...verdict });
    if (lastValues === true) {
      const newest = new Map(matching.map((event) => [event.topic, event]));
      this.send(
        socket,
        frame,
        [...newest.values()].sort((a, b) => a.offset - b.offset),
        "snapshot",
      );
    }
    if (since !== undefined || last !== undefined) this.send(socket, frame, missed, "recovered");
  }

  /** The exchange begins anew. */
  startEpoch(epoch: string): void {
    this.epoch = epoch;
    this.log.length = 0;
    this.offset = 0;
  }

  tellGap(pattern: string, events: number, reason: "slow" | "expired" = "slow"): void {
    const { epoch, offset } = this;
    this.last.tell({ type: "gap", exchange: "orders", pattern, epoch, offset, reason, events });
  }

  /** Stops sending events to the subscribers, as a hub that gave them up. */
  interrupt(reason: UnsubscribeReason = "interrupted"): void {
    const { last } = this;
    const patterns = [...(this.subscribed.get(last)?.keys() ?? [])];
    this.subscribed.clear();
    for (const pattern of patterns) {
      last.tell({ type: "unsubscribed", ref: null, exchange: "orders", pattern, reason });
    }
  }
  /** Nobody hears anything, and nobody is told. */
  goDeaf(): void {
    this.subscribed.clear();
  }
}
