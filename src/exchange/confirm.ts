// Puts a publish's confirm together from what each queue said.
import type { PublishRefusal, SequenceRun } from "../protocol/commands.ts";
import type { RouteConfirm, RouteFailure } from "../protocol/exchange-commands.ts";
import type { Refusal } from "../protocol/result.ts";
import { indexesOf, runsOf } from "../protocol/runs.ts";
import { IndexSet } from "./indexes.ts";

export class ConfirmBuilder {
  private readonly places: readonly number[];
  private readonly delayed: readonly SequenceRun[];
  private readonly matched: number[];
  private readonly hasFailed: IndexSet;
  private readonly failed: RouteFailure[] = [];

  /** `places`: where the messages that went out lie in the batch that was published; indexes below count among them. */
  constructor(count: number, places: readonly SequenceRun[], delayed: readonly SequenceRun[]) {
    this.places = [...indexesOf(places)];
    this.delayed = delayed;
    this.matched = Array.from({ length: count }, () => 0);
    this.hasFailed = new IndexSet(count);
  }

  /** A queue took its share, but for what some of its partitions refused. */
  tookAllBut(queue: string, messages: readonly SequenceRun[], refused: readonly PublishRefusal[]): void {
    const share = [...indexesOf(messages)];
    const left = new Set(share);
    for (const refusal of refused) {
      const lost = [...indexesOf(refusal.messages)].map((at) => share[at]!);
      for (const index of lost) left.delete(index);
      this.refused(queue, runsOf(lost), refusal);
    }
    for (const index of left) this.matched[this.places[index]!]!++;
  }

  refused(
    queue: string,
    messages: readonly SequenceRun[],
    { code, detail }: Pick<Refusal, "code" | "detail">,
  ): void {
    this.fail({ destination: { queue }, code, detail, messages });
  }

  fail(failure: RouteFailure): void {
    const real = [...indexesOf(failure.messages)].map((index) => this.places[index]!);
    for (const index of real) this.hasFailed.add(index);
    this.failed.push({ ...failure, messages: runsOf(real) });
  }

  confirm(isMandatory: boolean, position: string): RouteConfirm {
    const returned = this.places.filter((index) => this.matched[index] === 0 && !this.hasFailed.has(index));
    return {
      matched: this.matched,
      delayed: this.delayed,
      failed: this.failed,
      returned: isMandatory ? runsOf(returned) : [],
      position,
    };
  }
}
