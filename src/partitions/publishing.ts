/**
 * Publishing to a queue of several partitions: each batch is split, each partition gets its parts in one call, and what
 * a partition refuses because there are more of them is split anew.
 */
import type { BatchCodec, RecordTable } from "../protocol/batch.ts";
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
    // A repeated part may have been forgotten, or was a part of more before the queue grew: its sequences stay unknown.
    const known = countOf(sequences) === places.length ? [...indexesOf(sequences)] : [];
    for (const [at, sequence] of known.entries()) this.sequences[places[at]!] = sequence;
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

/** A command on its way, and the messages of it that are still to be sent. */
interface Pending {
  readonly command: PublishCommand;
  readonly table: RecordTable;
  readonly confirm: Confirm;
  waiting: readonly SequenceRun[];
}

export class Publishing {
  private readonly codec: BatchCodec;
  private readonly random: () => number;
  private readonly pending: (Pending | Refusal)[];

  constructor(codec: BatchCodec, random: () => number, commands: readonly PublishCommand[]) {
    this.codec = codec;
    this.random = random;
    this.pending = commands.map((command) => {
      const scanned = codec.scan(command.batch, command.source ?? "client");
      if (!scanned.ok) return scanned;
      const table = scanned.value;
      return { command, table, confirm: new Confirm(table.count), waiting: [[0, table.count]] };
    });
  }

  get isDone(): boolean {
    return this.pending.every((one) => "ok" in one || one.waiting.length === 0);
  }

  /**
   * What is to be sent now, in the order of the commands: of each command one part at the most to a partition, which
   * knows a repeated part by the command's sequence.
   */
  takeParts(layout: QueueLayout): PublishPart[] {
    return this.pending.flatMap((one, index) => {
      if ("ok" in one || one.waiting.length === 0) return [];
      const { command, table, waiting } = one;
      one.waiting = [];
      const options = { layout, even: this.evenOwner(command, layout), only: waiting };
      return splitBatch(this.codec, command.batch, table, options).map(
        ({ partition, batch, messages }): PublishPart => ({
          command: index,
          partition,
          publish: partOf(command, table.count, batch, layout),
          messages,
        }),
      );
    });
  }

  /** A batch that a producer repeats must find the partition that may have it already. */
  private evenOwner({ producer }: PublishCommand, { partitions }: QueueLayout): number {
    if (producer === undefined) return Math.floor(this.random() * partitions);
    return ownerOf(hashText(`${producer.id}:${producer.sequence}`), partitions);
  }

  take({ command, messages }: PublishPart, answer: Result<PublishConfirm>): void {
    const one = this.pending[command] as Pending;
    if (answer.ok || !isStale(answer)) one.confirm.take(messages, answer);
    else one.waiting = runsOf([...indexesOf(one.waiting), ...indexesOf(messages)].sort((a, b) => a - b));
  }

  /** Refuses what is still to be sent. */
  giveUp(refusal: Refusal): void {
    for (const one of this.pending) {
      if ("ok" in one || one.waiting.length === 0) continue;
      one.confirm.take(one.waiting, refusal);
      one.waiting = [];
    }
  }

  answers(): Result<PublishConfirm>[] {
    return this.pending.map((one) => ("ok" in one ? one : one.confirm.answer()));
  }
}

function partOf(
  { producer, ...rest }: PublishCommand,
  count: number,
  batch: Uint8Array,
  { partitions }: QueueLayout,
): PublishCommand {
  if (partitions === 1) return { ...rest, ...(producer && { producer }), batch };
  const stamp = producer && { producer: { ...producer, span: count } };
  return { ...rest, ...stamp, batch, known: partitions };
}

/** There are more partitions than the caller knew, or one is not there: the head knows. */
export function isStale({ code }: Refusal): boolean {
  return code === "partitions_changed";
}
