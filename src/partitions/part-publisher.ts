/**
 * The publishes of one client's socket, on their way to the partitions. Frames to a partition keep their order. When
 * there are more partitions than we knew, everything waits until what is on its way is answered; then what was
 * refused for that goes out again, in its order and before what came after it.
 */
import type { BatchCodec } from "../protocol/batch.ts";
import type { ProducerStamp, PublishCommand, PublishConfirm } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
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

const RETRY_MS = 1_000;

/**
 * A producer's publishes, one at a time: what stands behind one that is refused must not be stored, as in a queue of one
 * partition (PROTOCOL §7.12), and partitions don't know of each other's refusals.
 */
interface Line {
  readonly waiting: Publish[];
  isBusy: boolean;
  /** The sequence that was refused: the producer goes on with it, and nothing behind it is taken. */
  refused: number | null;
}

interface Publish {
  readonly bytes: number;
  readonly stamp: ProducerStamp | null;
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
  private readonly lines = new Map<string, Line>();
  /** Changed only while nothing is on its way: else what was refused would come behind what was sent after it. */
  private layout: QueueLayout;
  private bytes = 0;
  private lastRef = 0;
  private lastOrder = 0;
  private allAnswered: () => void = () => undefined;

  constructor(ports: PartPublisherPorts) {
    this.ports = ports;
    this.layout = ports.layout();
  }

  publish(ref: number | null, command: PublishCommand): void {
    const { codec, random } = this.ports;
    const bytes = command.batch.byteLength;
    if (this.bytes + bytes > LIMITS.partSocketBytesMax) {
      const detail = `publish: ${this.bytes} bytes over this socket are not confirmed yet; wait for confirms`;
      return this.ports.answer(ref, refuse("unavailable", detail, { retryAfterMs: RETRY_MS }));
    }
    this.bytes += bytes;
    const publish = {
      bytes,
      stamp: command.producer ?? null,
      order: ++this.lastOrder,
      ref,
      publishing: new Publishing(codec, random, [command]),
      unanswered: 0,
    };
    if (publish.stamp === null) return this.start(publish);
    const line = this.lineOf(publish.stamp);
    line.waiting.push(publish);
    if (!line.isBusy) this.startNext(line);
  }

  private lineOf({ id }: ProducerStamp): Line {
    let line = this.lines.get(id);
    if (line === undefined) {
      line = { waiting: [], isBusy: false, refused: null };
      this.lines.set(id, line);
    }
    return line;
  }

  private startNext(line: Line): void {
    for (let next = line.waiting.shift(); next !== undefined; next = line.waiting.shift()) {
      const { sequence } = next.stamp!;
      if (line.refused !== null && sequence > line.refused) {
        const detail = `sequence: an earlier batch was refused; the producer must go on with ${line.refused}`;
        const facts = { expectedSequence: line.refused };
        this.bytes -= next.bytes;
        this.ports.answer(next.ref, refuse("sequence_gap", detail, facts));
        continue;
      }
      line.refused = null;
      line.isBusy = true;
      this.start(next);
      // A batch that can't be read is answered at once.
      if (line.isBusy) return;
    }
  }

  private start(publish: Publish): void {
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

  private answer({ ref, publishing, stamp, bytes }: Publish): void {
    this.bytes -= bytes;
    const answer = publishing.answers()[0]!;
    this.ports.answer(ref, answer);
    if (stamp === null) return;
    const line = this.lineOf(stamp);
    line.isBusy = false;
    line.refused = answer.ok ? null : stamp.sequence;
    this.startNext(line);
    if (!line.isBusy && line.refused === null) this.lines.delete(stamp.id);
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
