/**
 * Publishing to a queue of several partitions: each batch is split, each partition gets its parts in one call, and what
 * a partition refuses because there are more of them is split anew.
 */
import type { BatchCodec } from "../protocol/batch.ts";
import type { PublishCommand, PublishConfirm, PublishRefusal, SequenceRun } from "../protocol/commands.ts";
import { ownerOf } from "../protocol/partitions.ts";
import { hashText } from "../protocol/rendezvous.ts";
import { ok, type Refusal, type Result } from "../protocol/result.ts";
import type { QueueLayout } from "../protocol/rpc.ts";
import { countOf, indexesOf, runsOf } from "../protocol/runs.ts";
import { splitBatch } from "./split.ts";

/** A part of a command's batch, on its way to one partition. */
export interface PublishPart {
  readonly command: number;
  readonly partition: number;
  readonly publish: PublishCommand;
  readonly messages: readonly SequenceRun[];
}

/** One command's answers, as they come in from the partitions. */
class Confirm {
  private readonly sequences: number[];
  private readonly duplicates: number[] = [];
  private readonly refused: PublishRefusal[] = [];
  private origin = 0;
  private firstRefusal: Refusal | null = null;

  constructor(count: number) {
    this.sequences = Array.from({ length: count }, () => 0);
  }

  take(messages: readonly SequenceRun[], answer: Result<PublishConfirm>): void {
    if (!answer.ok) {
      const { code, detail } = answer;
      this.firstRefusal ??= answer;
      this.refused.push({ messages, code, detail });
      return;
    }
    const { origin, sequences, duplicates } = answer.value;
    this.origin = origin;
    const places = [...indexesOf(messages)];
    // A repeated part may have been forgotten: then its sequences stay unknown.
    let at = 0;
    for (const sequence of indexesOf(sequences)) this.sequences[places[at++]!] = sequence;
    for (const index of duplicates) this.duplicates.push(places[index]!);
  }

  answer(): Result<PublishConfirm> {
    const refusedCount = this.refused.reduce((sum, { messages }) => sum + countOf(messages), 0);
    if (this.firstRefusal !== null && refusedCount === this.sequences.length) return this.firstRefusal;
    const { origin, refused } = this;
    const duplicates = this.duplicates.sort((a, b) => a - b);
    const sequences = runsOfAll(this.sequences);
    return ok({ origin, sequences, duplicates, ...(refused.length === 0 ? {} : { refused }) });
  }
}

/** Runs of consecutive numbers; zeros, which are refused messages, are runs of their own. */
function runsOfAll(numbers: readonly number[]): SequenceRun[] {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    const follows = last !== undefined && (last[0] === 0 ? number === 0 : last[0] + last[1] === number);
    if (follows) last[1]++;
    else runs.push([number, 1]);
  }
  return runs;
}

export class Publishing {
  private readonly codec: BatchCodec;
  private readonly random: () => number;
  private readonly commands: readonly PublishCommand[];
  private readonly confirms: (Confirm | Refusal)[];
  private waiting: { command: number; batch: Uint8Array; messages: readonly SequenceRun[] }[] = [];
  private readonly counts: number[];

  constructor(codec: BatchCodec, random: () => number, commands: readonly PublishCommand[]) {
    this.codec = codec;
    this.random = random;
    this.commands = commands;
    this.counts = commands.map(() => 0);
    this.confirms = commands.map(({ batch, source = "client" }, command) => {
      const scanned = codec.scan(batch, source);
      if (!scanned.ok) return scanned;
      const { count } = scanned.value;
      this.counts[command] = count;
      this.waiting.push({ command, batch, messages: [[0, count]] });
      return new Confirm(count);
    });
  }

  get isDone(): boolean {
    return this.waiting.length === 0;
  }

  /** What is to be sent now, in the order of the commands. */
  takeParts(layout: QueueLayout): PublishPart[] {
    const { waiting } = this;
    this.waiting = [];
    return waiting.flatMap(({ command, batch, messages }) => {
      const publish = this.commands[command]!;
      const scanned = this.codec.scan(batch, publish.source ?? "client");
      // Its parts are whole, because it was.
      if (!scanned.ok) return [];
      const places = [...indexesOf(messages)];
      const parts = splitBatch(this.codec, batch, scanned.value, layout, this.evenOwner(publish, layout));
      return parts.map((part): PublishPart => {
        const own = runsOf([...indexesOf(part.messages)].map((index) => places[index]!));
        return {
          command,
          partition: part.partition,
          publish: this.commandOf(publish, command, part.batch, layout),
          messages: own,
        };
      });
    });
  }

  /** A batch that a producer repeats must find the partition that may have it already. */
  private evenOwner({ producer }: PublishCommand, { partitions }: QueueLayout): number {
    if (producer === undefined) return Math.floor(this.random() * partitions);
    return ownerOf(hashText(`${producer.id}:${producer.sequence}`), partitions);
  }

  private commandOf(
    { producer, ...rest }: PublishCommand,
    command: number,
    batch: Uint8Array,
    { partitions }: QueueLayout,
  ): PublishCommand {
    if (partitions === 1) return { ...rest, ...(producer && { producer }), batch };
    const stamp = producer && { producer: { ...producer, span: this.counts[command]! } };
    return { ...rest, ...stamp, batch, known: partitions };
  }

  take({ command, publish, messages }: PublishPart, answer: Result<PublishConfirm>): void {
    if (!answer.ok && isStale(answer)) this.waiting.push({ command, batch: publish.batch, messages });
    else (this.confirms[command] as Confirm).take(messages, answer);
  }

  /** Refuses what is still to be sent. */
  giveUp(refusal: Refusal): void {
    for (const { command, messages } of this.waiting)
      (this.confirms[command] as Confirm).take(messages, refusal);
    this.waiting = [];
  }

  answers(): Result<PublishConfirm>[] {
    return this.confirms.map((confirm) => (confirm instanceof Confirm ? confirm.answer() : confirm));
  }
}

/** There are more partitions than the caller knew, or one is not there yet, or the queue is gone. */
export function isStale({ code }: Refusal): boolean {
  return code === "partitions_changed" || code === "queue_not_found";
}
