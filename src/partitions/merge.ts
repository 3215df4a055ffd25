// What several partitions answer, as one answer.
import type { ConsumerView, QueueInfo, RedriveStatus } from "../protocol/commands.ts";
import { refuse, ok, type Result } from "../protocol/result.ts";

/** `infos`: of all partitions in their order. */
export function mergeInfos(infos: readonly QueueInfo[]): QueueInfo {
  const [head] = infos;
  return {
    ...head!,
    counts: sumAll(infos.map(({ counts }) => counts)),
    totals: sumAll(infos.map(({ totals }) => totals)),
    oldestReadyMs: Math.max(...infos.map(({ oldestReadyMs }) => oldestReadyMs)),
    lastSequence: Math.max(...infos.map(lastSequenceOf)),
    consumers: mergeConsumers(infos.flatMap(({ consumers }) => consumers)),
    partitions: infos.flatMap(({ partitions = [] }) => partitions),
  };
}

/** 0 where nothing was ever published, wherever the partition begins to count. */
function lastSequenceOf({ lastSequence, totals }: QueueInfo): number {
  return totals.published === 0 ? 0 : lastSequence;
}

/** Field by field; `all` is not empty. */
function sumAll<T extends { readonly [K in keyof T]: number }>([first, ...others]: readonly T[]): T {
  const sum = { ...first! };
  for (const one of others) {
    for (const name of Object.keys(sum) as (keyof T)[]) sum[name] = (sum[name] + one[name]) as T[keyof T];
  }
  return sum;
}

/** A consumer is attached to every partition under one name. */
function mergeConsumers(views: readonly ConsumerView[]): ConsumerView[] {
  const merged = new Map<string, ConsumerView>();
  for (const view of views) {
    const known = merged.get(view.consumer);
    if (known === undefined) merged.set(view.consumer, view);
    else
      merged.set(view.consumer, {
        ...known,
        credit: known.credit + view.credit,
        unsettled: known.unsettled + view.unsettled,
        active: known.active || view.active,
      });
  }
  return [...merged.values()];
}

/** Partitions that were added since the task began know nothing of it. */
/** Of several partitions' states the first of these is that of the whole. */
const RANKED = ["running", "failed", "cancelled"] as const;

export function mergeRedrives(answers: readonly Result<RedriveStatus>[]): Result<RedriveStatus> {
  const known: RedriveStatus[] = [];
  for (const answer of answers) {
    if (answer.ok) known.push(answer.value);
    else if (answer.code !== "task_not_found") return answer;
  }
  const [first] = known;
  if (first === undefined) return answers[0] ?? refuse("task_not_found", "task: there is no such redrive");
  const states = known.map(({ state }) => state);
  const state = RANKED.find((one) => states.includes(one)) ?? first.state;
  const counts = sumAll(
    known.map(({ scanned, matched, moved, total }) => ({ scanned, matched, moved, total })),
  );
  // Each has its share of the rate. What sharing it out has rounded off is not told.
  const rate = known.reduce((sum, { ratePerSecond = 0 }) => sum + ratePerSecond, 0);
  const asked = rate === 0 ? {} : { ratePerSecond: Number(rate.toPrecision(12)) };
  const failure = known.find((one) => one.failure !== undefined)?.failure;
  return ok({ ...first, state, ...(failure === undefined ? {} : { failure }), ...counts, ...asked });
}

/** `answers`: each partition's, the newest first. */
export function mergeRedriveLists(
  answers: readonly Result<RedriveStatus[]>[],
  limit: number,
): Result<RedriveStatus[]> {
  const all: RedriveStatus[] = [];
  for (const answer of answers) {
    if (!answer.ok) return answer;
    all.push(...answer.value);
  }
  const merged: RedriveStatus[] = [];
  for (const parts of Map.groupBy(all, ({ task }) => task ?? 0).values()) {
    const one = mergeRedrives(parts.map((part) => ok(part)));
    if (one.ok) merged.push(one.value);
  }
  return ok(merged.sort((a, b) => (b.task ?? 0) - (a.task ?? 0)).slice(0, limit));
}

/** The sum of all; the first refusal where one refused. */
export function sumMessages(answers: readonly Result<{ messages: number }>[]): Result<{ messages: number }> {
  let messages = 0;
  for (const answer of answers) {
    if (!answer.ok) return answer;
    messages += answer.value.messages;
  }
  return ok({ messages });
}

/** A consumer's credit is shared out, one at the least: so it is at least the number of partitions. */
export function creditOf(credit: number, partition: number, partitions: number): number {
  return Math.max(1, Math.floor(credit / partitions) + (partition < credit % partitions ? 1 : 0));
}
