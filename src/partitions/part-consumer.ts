/**
 * The consumer of one client's socket: one at each partition, and to the client one. What they all say is told once, and
 * credit is shared out.
 */
import type { ErrorCode } from "../protocol/errors.ts";
import type { ConsumeFrame, ServerFrame } from "../protocol/frames.ts";
import { LIMITS } from "../protocol/limits.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import { creditOf } from "./merge.ts";

export interface PartConsumerPorts {
  /** Names a consumer that names itself not. */
  name(): string;
  partitions(): number;
  send(partition: number, frame: object): void;
  tell(frame: ServerFrame): void;
  /** A delivery goes to the client as it is. */
  pass(data: string | ArrayBuffer): void;
}

export type ConsumerFrame = Extract<ServerFrame, { type: "consuming" | "active" | "drained" | "cancelled" }>;

export class PartConsumer {
  private readonly ports: PartConsumerPorts;
  /** What the client consumes with; null: it does not. */
  private consume: (ConsumeFrame & { readonly consumer: string }) | null = null;
  /** Partitions that have said that it consumes, and of those that were asked to end it, how many have. */
  private attached = 0;
  private asked = 0;
  private ended = 0;
  /** What the client is told when they all have; null: it did not ask. */
  private ending: "drained" | "cancelled" | null = null;
  /** Why it is no consumer: the others say the same. */
  private refusedBy: ErrorCode | null = null;
  private isActive = false;
  private isTold = false;
  /** With `once`: a delivery has come. */
  private hasOne = false;
  /** Deliveries that came before the client was told that it consumes. */
  private readonly early: (string | ArrayBuffer)[] = [];

  constructor(ports: PartConsumerPorts) {
    this.ports = ports;
  }

  // From the client

  start(frame: ConsumeFrame): void {
    const consumer = frame.consumer ?? this.consume?.consumer ?? this.ports.name();
    this.consume = { ...frame, consumer };
    this.isActive = false;
    this.isTold = false;
    this.hasOne = false;
    this.ending = null;
    this.refusedBy = null;
    this.attach();
  }

  setCredit(credit: number): Refusal | null {
    if (this.consume === null) return notConsuming();
    this.consume = { ...this.consume, credit };
    // Partitions that were added while there was no credit do not know it yet.
    if (credit > 0 && this.attached < this.ports.partitions()) this.attach();
    else if (this.ending === null) this.shareCredit(credit);
    return null;
  }

  stop(frame: { readonly type: "drain" | "cancel" }): Refusal | null {
    if (this.consume === null) return notConsuming();
    if (frame.type === "drain" && this.ending !== null) return null;
    this.ending = frame.type === "drain" ? "drained" : "cancelled";
    // One that is added from here on never knows the consumer.
    this.asked = this.ports.partitions();
    this.ended = 0;
    this.toAll(() => frame);
    return null;
  }

  /** At all partitions; what is said again sets everything anew. Also when there are more of them. */
  attach(): void {
    const { consume } = this;
    if (consume === null || this.ending !== null || consume.credit === 0) return;
    this.attached = 0;
    const credit = consume.credit ?? LIMITS.creditDefault;
    // With `once` the first delivery is the only one, so each may be as large as asked for.
    const share = (partition: number): number =>
      consume.once === true ? credit : creditOf(credit, partition, this.ports.partitions());
    this.toAll((partition) => ({ ...consume, credit: share(partition) }));
  }

  private shareCredit(credit: number): void {
    this.toAll((partition) => ({
      type: "credit",
      credit: credit === 0 ? 0 : creditOf(credit, partition, this.ports.partitions()),
    }));
  }

  private toAll(frame: (partition: number) => object): void {
    for (let partition = 0; partition < this.ports.partitions(); partition++) {
      this.ports.send(partition, frame(partition));
    }
  }

  // From a partition

  deliver(partition: number, lease: number, data: string | ArrayBuffer): void {
    if (this.consume?.once === true) {
      if (this.hasOne) {
        // The first was faster: this one goes back, as if it had not been sent.
        const back = [{ lease, verdict: "nack", delayMs: 0 }];
        this.ports.send(partition, { type: "settle", ref: 0, settlements: back });
        return;
      }
      this.hasOne = true;
      for (let other = 0; other < this.ports.partitions(); other++) {
        if (other !== partition) this.ports.send(other, { type: "cancel" });
      }
    }
    if (this.isTold) this.ports.pass(data);
    else this.early.push(data);
  }

  changed(answer: ConsumerFrame): void {
    const { consume } = this;
    if (consume === null) return;
    switch (answer.type) {
      case "consuming": {
        this.isActive ||= answer.active;
        if (++this.attached < this.ports.partitions() || this.isTold) return;
        this.isTold = true;
        const { consumer, credit = LIMITS.creditDefault } = consume;
        this.ports.tell({ type: "consuming", consumer, credit, active: this.isActive });
        for (const data of this.early.splice(0)) this.ports.pass(data);
        return;
      }
      case "active":
        if (!this.isActive) this.ports.tell(answer);
        this.isActive = true;
        return;
      case "drained":
        if (this.ending === "drained") this.partEnded(consume.consumer);
        return;
      case "cancelled":
        if (answer.reason !== "asked") this.end(answer);
        // With `once` the others were asked to stop by us.
        else if (this.ending === "cancelled" && !this.hasOne) this.partEnded(consume.consumer);
    }
  }

  private partEnded(consumer: string): void {
    if (++this.ended < this.asked) return;
    this.end(
      this.ending === "drained" ? { type: "drained" } : { type: "cancelled", consumer, reason: "asked" },
    );
  }

  /** The consumer is gone everywhere: at once where one partition says so, unless the client asked for it. */
  private end(answer: Extract<ServerFrame, { type: "drained" | "cancelled" }>): void {
    const isPartial = answer.type === "cancelled" && answer.reason !== "asked" && answer.reason !== "once";
    // Those that are gone already refuse it, which nobody waits for.
    if (isPartial) this.toAll(() => ({ type: "cancel" }));
    this.consume = null;
    this.ports.tell(answer);
  }

  /** A refusal that answers no frame of ours: whether the client must hear of it. */
  refused({ code }: Refusal): boolean {
    if (code === "not_consuming") {
      // It had drained before it was asked to cancel.
      if (this.ending === "cancelled" && this.consume !== null) this.partEnded(this.consume.consumer);
      return false;
    }
    if (code === this.refusedBy) return false;
    if (this.consume !== null && !this.isTold) {
      // One partition refused the consumer, so it is one nowhere.
      this.refusedBy = code;
      this.toAll(() => ({ type: "cancel" }));
      this.consume = null;
    }
    return true;
  }
}

function notConsuming(): Refusal {
  return refuse("not_consuming", "this socket has no consumer");
}
