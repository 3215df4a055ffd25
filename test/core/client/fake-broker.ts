// A broker of one queue, in memory, behind a fake WebSocket. It keeps the real one's rules for producers: a batch
// is accepted when it follows on or its producer is unknown, answered again when it was accepted, else a gap.
import { readRecord } from "../../../src/protocol/record.ts";
import { TypeScriptBatchCodec } from "../../../src/protocol/typescript-batch-codec.ts";
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import type { PublishConfirm, Settlement, SettlementResult } from "../../../src/protocol/commands.ts";
import type { ErrorCode } from "../../../src/protocol/errors.ts";
import type { ClientFrame } from "../../../src/protocol/frames.ts";
import type { WebSocketConstructor } from "../../../src/client/socket.ts";
import { FakeSocket, newable } from "./fake-socket.ts";
import type { ManualClock } from "./manual-clock.ts";

export type PublishFrame = Extract<ClientFrame, { type: "publish" }>;
/** What becomes of a publish: the two losses break the connection before or after it is stored. */
export type Fate =
  "accept" | "hold" | "lose" | "store-and-lose" | { refuse: ErrorCode; facts?: Record<string, number> };

const codec = new TypeScriptBatchCodec();
const decoder = new TextDecoder();
const ORIGIN = 36;

export class FakeBroker {
  readonly sockets: FakeSocket[] = [];
  readonly stored: MessageRecord[] = [];
  /** `refuse`: the handshake fails. `hang`: it never ends. */
  handshake: "accept" | "refuse" | "hang" = "accept";
  /** By how much its clock is ahead of the client's. */
  aheadMs = 0;
  answersPings = true;
  answersSettles = true;
  /** What becomes of the next publishes; then they are accepted. */
  fates: Fate[] = [];
  readonly held: (() => void)[] = [];
  readonly settlements: Settlement[] = [];
  settleResult: (settlement: Settlement) => SettlementResult = (one) => ({
    settled: (one.sequences ?? []).reduce((sum, [, count]) => sum + count, 0),
    refused: [],
  });
  private readonly clock: ManualClock;
  private readonly producers = new Map<string, { last: number; batches: Map<number, PublishConfirm> }>();
  private readonly dedups = new Map<string, number>();

  constructor(clock: ManualClock) {
    this.clock = clock;
  }

  get last(): FakeSocket {
    return this.sockets.at(-1)!;
  }
  texts(): string[] {
    return this.stored.map((record) => decoder.decode(record.body));
  }

  readonly WebSocket: WebSocketConstructor = newable((url, protocols) => {
    const socket = new FakeSocket(this, url, protocols);
    this.sockets.push(socket);
    queueMicrotask(() => this.greet(socket));
    return socket;
  });

  private greet(socket: FakeSocket): void {
    if (this.handshake === "hang") return;
    if (this.handshake === "refuse") {
      socket.emit("error");
      socket.lose();
      return;
    }
    socket.emit("open");
    socket.tell({ type: "hello", queue: "orders", origin: ORIGIN });
  }

  take(socket: FakeSocket, frame: ClientFrame, payload: Uint8Array): void {
    if (!socket.isOpen && frame.type !== "settle") return;
    if (frame.type === "publish") this.publish(socket, frame, payload);
    else if (frame.type === "settle") this.settle(socket, frame);
    else if (frame.type === "consume") {
      socket.tell({
        type: "consuming",
        consumer: frame.consumer ?? "c",
        credit: frame.credit ?? 20,
        active: true,
      });
    } else if (frame.type === "drain") socket.tell({ type: "drained" });
  }

  private settle(socket: FakeSocket, frame: Extract<ClientFrame, { type: "settle" }>): void {
    this.settlements.push(...frame.settlements);
    if (!this.answersSettles) return;
    socket.tell({
      type: "settled",
      ref: frame.ref ?? null,
      results: frame.settlements.map(this.settleResult),
    });
  }

  private publish(socket: FakeSocket, frame: PublishFrame, payload: Uint8Array): void {
    const fate = this.fates.shift() ?? "accept";
    const ref = frame.ref ?? null;
    if (fate === "lose") socket.lose();
    else if (fate === "hold") this.held.push(() => this.accept(socket, frame, payload));
    else if (fate === "store-and-lose") {
      this.accept(null, frame, payload);
      socket.lose();
    } else if (fate === "accept") this.accept(socket, frame, payload);
    else {
      const { refuse: code, facts } = fate;
      socket.tell({ type: "error", ref, code, detail: "no", ...(facts === undefined ? {} : { facts }) });
    }
  }

  private accept(socket: FakeSocket | null, frame: PublishFrame, payload: Uint8Array): void {
    const ref = frame.ref ?? null;
    const { producer = "", sequence = 0 } = frame;
    const table = codec.scan(payload, "client");
    if (!table.ok) {
      socket?.tell({ type: "error", ref, code: table.code, detail: table.detail });
      return;
    }
    const { count } = table.value;
    const state = this.producers.get(producer);
    if (state !== undefined && sequence !== state.last + 1) {
      const before = state.batches.get(sequence);
      if (before === undefined) {
        const facts = { expectedSequence: state.last + 1 };
        socket?.tell({ type: "error", ref, code: "sequence_gap", detail: "gap", facts });
      } else {
        const duplicates = Array.from({ length: count }, (_, i) => i);
        socket?.tell({ type: "confirm", ref, ...before, duplicates });
      }
      return;
    }
    const sequences: [number, number][] = [];
    const duplicates: number[] = [];
    for (let i = 0; i < count; i++) {
      const record = readRecord(payload, table.value.offset(i));
      const first = record.dedupId === undefined ? undefined : this.dedups.get(record.dedupId);
      if (first !== undefined) {
        duplicates.push(i);
        sequences.push([first, 1]);
        continue;
      }
      this.stored.push(record);
      sequences.push([this.stored.length, 1]);
      if (record.dedupId !== undefined) this.dedups.set(record.dedupId, this.stored.length);
    }
    const confirm = { origin: ORIGIN, sequences, duplicates };
    const batches = state?.batches ?? new Map<number, PublishConfirm>();
    batches.set(sequence, confirm);
    this.producers.set(producer, { last: sequence + count - 1, batches });
    socket?.tell({ type: "confirm", ref, ...confirm });
  }

  forgetProducers(last: number): void {
    for (const state of this.producers.values()) state.last = last;
  }

  /** Sends messages as one lease with one run. With `reference`, a body is the key of one that lies elsewhere. */
  deliver(
    lease: number,
    firstSequence: number,
    bodies: readonly string[],
    leaseMs = 30_000,
    { reference = false, socket = this.last }: { reference?: boolean; socket?: FakeSocket } = {},
  ): void {
    const records = bodies.map((body): MessageRecord => {
      const record = { body: new TextEncoder().encode(body) };
      return reference ? { ...record, bodyReference: true } : record;
    });
    this.deliverRecords(lease, firstSequence, records, leaseMs, socket);
  }

  /** A single message, with whatever fields it has; its sequence is the lease's number. */
  deliverRecord(lease: number, record: MessageRecord): void {
    this.deliverRecords(lease, lease, [record], 30_000, this.last);
  }

  private deliverRecords(
    lease: number,
    firstSequence: number,
    records: readonly MessageRecord[],
    leaseMs: number,
    socket: FakeSocket,
  ): void {
    const nowMs = this.clock.nowMs + this.aheadMs;
    const batch = codec.encode(records, { origin: ORIGIN, firstSequence, timeMs: nowMs }, "broker");
    if (!batch.ok) throw new Error(batch.detail);
    const runs = [{ attempt: 1, failures: 0, firstSentMs: nowMs, bytes: batch.value.length }];
    socket.tell({ type: "deliver", lease, untilMs: nowMs + leaseMs, runs }, batch.value);
  }
}
