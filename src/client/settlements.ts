/**
 * Gathers a consumer's settlements, so that a thousand acks are one frame with a few runs in it, and keeps those
 * that are not answered: after a lost connection they are sent again, which is harmless (PROTOCOL §5.5).
 */
import type { SequenceRun, Settlement, SettlementResult } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { errorOfRefusal, MillraceError } from "./errors.ts";
import type { Outcome } from "./message.ts";

export interface SettledMessage {
  readonly lease: number;
  readonly sequence: number;
}

interface Waiter {
  readonly sequence: number;
  readonly done: (error: MillraceError | null) => void;
}

interface Group {
  readonly lease: number;
  readonly outcome: Outcome;
  /** Null: all that is open under the lease. */
  readonly sequences: number[] | null;
  readonly waiters: Waiter[];
}

const ACK: Outcome = { verdict: "ack" };

export interface SettlementHandlers {
  /** One frame's worth. */
  send(ref: number, settlements: readonly Settlement[]): void;
  /** The broker did not settle these: `lease_lost` or `already_settled`. Not tried again. */
  refused(lease: number, run: SequenceRun, error: MillraceError): void;
}

export class Settlements {
  private readonly handlers: SettlementHandlers;
  /** Plain acks by lease: the common case, so it costs no key to be built. */
  private acks = new Map<number, Group>();
  private others = new Map<string, Group>();
  private unanswered = new Map<number, Group[]>();
  private nextRef = 1;
  /** Messages gathered and not yet sent. */
  gathered = 0;

  constructor(handlers: SettlementHandlers) {
    this.handlers = handlers;
  }

  get isEmpty(): boolean {
    return this.acks.size === 0 && this.others.size === 0 && this.unanswered.size === 0;
  }

  add(message: SettledMessage, outcome: Outcome, done?: Waiter["done"]): void {
    const { lease, sequence } = message;
    const group = outcome.verdict === "ack" ? this.ackGroup(lease) : this.otherGroup(lease, outcome, false);
    group.sequences?.push(sequence);
    if (done !== undefined) group.waiters.push({ sequence, done });
    this.gathered++;
  }

  /** Everything that is still open under the lease, after what was gathered before. */
  extendLease(lease: number, leaseMs: number | undefined): void {
    this.otherGroup(
      lease,
      leaseMs === undefined ? { verdict: "extend" } : { verdict: "extend", leaseMs },
      true,
    );
  }

  private ackGroup(lease: number): Group {
    let group = this.acks.get(lease);
    if (group === undefined) {
      group = { lease, outcome: ACK, sequences: [], waiters: [] };
      this.acks.set(lease, group);
    }
    return group;
  }

  private otherGroup(lease: number, outcome: Outcome, isWhole: boolean): Group {
    const { verdict, delayMs, leaseMs, dead, late, error } = outcome;
    const key = JSON.stringify([lease, isWhole, verdict, delayMs, leaseMs, dead, late, error]);
    let group = this.others.get(key);
    if (group === undefined) {
      group = { lease, outcome, sequences: isWhole ? null : [], waiters: [] };
      this.others.set(key, group);
    }
    return group;
  }

  /** Sends what is gathered. */
  flush(): void {
    if (this.acks.size === 0 && this.others.size === 0) return;
    const others = [...this.others.values()];
    // A whole lease is extended last: by then only what is really open is left of it.
    const groups = [
      ...this.acks.values(),
      ...others.filter((group) => !isWhole(group)),
      ...others.filter(isWhole),
    ];
    this.acks = new Map();
    this.others = new Map();
    this.gathered = 0;
    for (let at = 0; at < groups.length; at += LIMITS.settlementsMax) {
      this.dispatch(groups.slice(at, at + LIMITS.settlementsMax));
    }
  }

  private dispatch(groups: Group[]): void {
    const ref = this.nextRef++;
    this.unanswered.set(ref, groups);
    this.handlers.send(
      ref,
      groups.map(({ lease, outcome, sequences }) =>
        sequences === null ? { lease, ...outcome } : { lease, sequences: runsOf(sequences), ...outcome },
      ),
    );
  }

  /** Over a new connection: sends again what the old one did not answer. Renewals are left out, they are late. */
  resend(): void {
    const before = [...this.unanswered.values()];
    this.unanswered = new Map();
    for (const groups of before) {
      const again = groups.filter((group) => group.sequences !== null);
      if (again.length > 0) this.dispatch(again);
    }
  }

  answered(ref: number, results: readonly SettlementResult[]): void {
    const groups = this.unanswered.get(ref);
    if (groups === undefined) return;
    this.unanswered.delete(ref);
    groups.forEach((group, index) => {
      const result = results[index];
      const refused = (result?.refused ?? []).map(({ sequences, code, detail }) => {
        const error = errorOfRefusal({ code, detail });
        this.handlers.refused(group.lease, sequences, error);
        return { first: sequences[0], end: sequences[0] + sequences[1], error };
      });
      for (const { sequence, done } of group.waiters) {
        const found = refused.find((run) => run.first <= sequence && sequence < run.end);
        done(found?.error ?? null);
      }
    });
  }

  /** The broker refused a whole frame. */
  failed(ref: number, error: MillraceError): boolean {
    const groups = this.unanswered.get(ref);
    if (groups === undefined) return false;
    this.unanswered.delete(ref);
    for (const { waiters } of groups) for (const { done } of waiters) done(error);
    return true;
  }

  /** Nothing will be sent any more. */
  close(error: MillraceError): void {
    const groups = [...this.acks.values(), ...this.others.values(), ...[...this.unanswered.values()].flat()];
    this.acks = new Map();
    this.others = new Map();
    this.unanswered = new Map();
    this.gathered = 0;
    for (const { waiters } of groups) for (const { done } of waiters) done(error);
  }
}

function isWhole(group: Group): boolean {
  return group.sequences === null;
}

/** Sequences, each once, as runs in rising order. */
export function runsOf(sequences: number[]): SequenceRun[] {
  let isSorted = true;
  for (let i = 1; i < sequences.length; i++) isSorted &&= sequences[i - 1]! <= sequences[i]!;
  if (!isSorted) sequences.sort((a, b) => a - b);
  const runs: [first: number, count: number][] = [];
  let run: [first: number, count: number] | undefined;
  for (const sequence of sequences) {
    if (run !== undefined && sequence < run[0] + run[1]) continue;
    if (run !== undefined && sequence === run[0] + run[1]) run[1]++;
    else runs.push((run = [sequence, 1]));
  }
  return runs;
}
