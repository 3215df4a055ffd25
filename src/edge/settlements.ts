// Receipts to settlements, and the queue's results back to one result per receipt.
import type { z } from "zod";
import type { SequenceRun, Settlement, SettlementResult } from "../protocol/commands.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import { parseReceipt } from "../protocol/message-json.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import type { HttpSettlement, Present } from "../protocol/schemas.ts";

type Asked = Present<z.output<typeof HttpSettlement>>;

/** One settlement for the queue, and which of the request's settlements it answers. */
export interface Group {
  readonly settlement: Settlement;
  readonly members: readonly Member[];
}

/** `sequence` is null for a settlement that named a lease: it has the group to itself. */
interface Member {
  readonly index: number;
  readonly sequence: number | null;
}

type End = Pick<SettlementResult, "untilMs" | "isCut">;

export type Outcome =
  | ({ readonly ok: true; readonly settled: number } & End)
  | {
      readonly ok: false;
      readonly settled: number;
      readonly code: ErrorCode;
      readonly detail: string;
      readonly refused?: SettlementResult["refused"];
    };

/** Joins the receipts of one lease that are settled alike, in whatever order they come. `subject`: who asks. */
export function groupSettlements(asked: readonly Asked[], subject: string): Result<Group[]> {
  const groups: { settlement: Settlement; members: Member[] }[] = [];
  const byTerms = new Map<string, { settlement: Settlement; members: Member[] }>();
  for (const [index, { receipt, lease, sequences, ...terms }] of asked.entries()) {
    if (receipt === undefined) {
      const settlement = { ...terms, lease: lease!, subject, ...(sequences && { sequences }) };
      groups.push({ settlement, members: [{ index, sequence: null }] });
      continue;
    }
    const parsed = parseReceipt(receipt);
    if (parsed === null) return refuse("bad_request", `settlements[${index}].receipt: is not a receipt`);
    const { verdict, delayMs, leaseMs, dead, late, error } = terms;
    const { sequence, ...held } = parsed;
    const key = JSON.stringify([held, verdict, delayMs, leaseMs, dead, late, error]);
    let group = byTerms.get(key);
    if (group === undefined) {
      group = { settlement: { ...terms, ...held, subject }, members: [] };
      byTerms.set(key, group);
      groups.push(group);
    }
    group.members.push({ index, sequence });
  }
  return ok(
    groups.map(({ settlement, members }) => ({ settlement: withRuns(settlement, members), members })),
  );
}

function withRuns(settlement: Settlement, members: readonly Member[]): Settlement {
  const sequences = members.map((member) => member.sequence).filter((sequence) => sequence !== null);
  return sequences.length === 0 ? settlement : { ...settlement, sequences: runsOf(sequences) };
}

/** `[3, 1, 2, 7]` is `[[1, 3], [7, 1]]`. */
export function runsOf(sequences: readonly number[]): SequenceRun[] {
  const runs: [number, number][] = [];
  for (const sequence of [...new Set(sequences)].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === sequence) last[1]++;
    else runs.push([sequence, 1]);
  }
  return runs;
}

/** One result for each of the request's settlements, in its order. */
export function outcomes(
  groups: readonly Group[],
  results: readonly SettlementResult[],
  count: number,
): Outcome[] {
  const out = Array.from<Outcome>({ length: count });
  for (const [at, group] of groups.entries()) {
    const result = results[at]!;
    for (const { index, sequence } of group.members) {
      out[index] = sequence === null ? ofLease(result) : ofReceipt(result, sequence);
    }
  }
  return out;
}

function ofLease(result: SettlementResult): Outcome {
  const [first] = result.refused;
  if (first !== undefined) {
    return {
      ok: false,
      settled: result.settled,
      code: first.code,
      detail: first.detail,
      refused: result.refused,
    };
  }
  return { ok: true, settled: result.settled, ...endOf(result) };
}

function ofReceipt(result: SettlementResult, sequence: number): Outcome {
  const refusal = result.refused.find(
    ({ sequences: [first, count] }) => sequence >= first && sequence < first + count,
  );
  if (refusal !== undefined) return { ok: false, settled: 0, code: refusal.code, detail: refusal.detail };
  return { ok: true, settled: 1, ...endOf(result) };
}

function endOf({ untilMs, isCut }: SettlementResult): End {
  return { ...(untilMs && { untilMs }), ...(isCut && { isCut }) };
}
