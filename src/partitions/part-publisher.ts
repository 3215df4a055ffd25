/**
 * The publishes of one client's socket, on their way to the partitions. Frames to a partition keep their order. When
 * there are more partitions than we knew, everything waits until what is on its way is answered; then what was
 * refused for that goes out again, in its order and before what came after it.
 */
import type { BatchCodec } from "../protocol/batch.ts";
import type { PublishCommand, PublishConfirm } from "../protocol/commands.ts";
import type { Refusal, Result } from "../protocol/result.ts";
import type { QueueLayout } from "../protocol/rpc.ts";
import { Publishing, type PublishPart } from "./publishing.ts";

export interface PartPublisherPorts {
  readonly codec: BatchCodec;
  readonly random: () => number;
  layout(): QueueLayout;
  /** Learns the layout anew, with a socket at every partition. */
  relearn(tries: number): Promise<Refusal | null>;
  send(part: PublishPart, ref: number): void;
  answer(ref: number | null, answer: Result<PublishConfirm>): void;
}

interface Publish {
  readonly order: number;
  readonly ref: number | null;
  readonly publishing: Publishing;
  /** Parts on their way. */
  unanswered: number;
}

export class PartPublisher {
  private readonly ports: PartPublisherPorts;
  private readonly sent = new Map<number, { publish: Publish; part: PublishPart }>();
  /** Refused for the layout, and what came after that. */
  private stale: Publish[] = [];
  private held: Publish[] = [];
  private isRelearning = false;
  /** Changed only while nothing is on its way: else what was refused would come behind what was sent after it. */
  private layout: QueueLayout;
  private lastRef = 0;
  private lastOrder = 0;
  private allAnswered: () => void = () => undefined;

  constructor(ports: PartPublisherPorts) {
    this.ports = ports;
    this.layout = ports.layout();
  }

  publish(ref: number | null, command: PublishCommand): void {
    const { codec, random } = this.ports;
    const publish = {
      order: ++this.lastOrder,
      ref,
      publishing: new Publishing(codec, random, [command]),
      unanswered: 0,
    };
    if (publish.publishing.isDone) this.answer(publish);
    else if (this.stale.length > 0 || this.isRelearning) this.held.push(publish);
    else this.send(publish);
  }

  private send(publish: Publish): void {
    const parts = publish.publishing.takeParts(this.layout);
    publish.unanswered = parts.length;
    for (const part of parts) {
      const ref = ++this.lastRef;
      this.sent.set(ref, { publish, part });
      this.ports.send(part, ref);
    }
  }

  /** A partition's answer to the frame that we gave this number. */
  answered(ref: number, answer: Result<PublishConfirm>): void {
    const known = this.sent.get(ref);
    if (known === undefined) return;
    this.sent.delete(ref);
    const { publish, part } = known;
    publish.publishing.take(part, answer);
    publish.unanswered--;
    if (publish.unanswered === 0) {
      if (publish.publishing.isDone) this.answer(publish);
      else this.stale.push(publish);
    }
    if (this.sent.size > 0) return;
    this.allAnswered();
    if (this.stale.length > 0 && !this.isRelearning) void this.resend();
  }

  private answer({ ref, publishing }: Publish): void {
    this.ports.answer(ref, publishing.answers()[0]!);
  }

  private async resend(): Promise<void> {
    this.isRelearning = true;
    for (let tries = 0; this.stale.length > 0; tries++) {
      const refused = await this.ports.relearn(tries);
      this.layout = this.ports.layout();
      // In the order in which they came, which is not that of their answers.
      const stale = this.stale.sort((a, b) => a.order - b.order);
      this.stale = [];
      if (refused) {
        for (const publish of stale) {
          publish.publishing.giveUp(refused);
          this.answer(publish);
        }
        break;
      }
      await this.sendAll(stale);
    }
    this.isRelearning = false;
    const { held } = this;
    this.held = [];
    for (const publish of held) this.send(publish);
  }

  /** Resolves when all of them are answered. */
  private async sendAll(publishes: readonly Publish[]): Promise<void> {
    const answered = new Promise<void>((resolve) => (this.allAnswered = resolve));
    for (const publish of publishes) this.send(publish);
    await answered;
  }
}
