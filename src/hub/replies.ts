// What becomes of a reply: it goes to its requester, waits for one whose connection broke, or has come too late.
import { parseCorrelation, type Correlation } from "../protocol/correlation.ts";
import type { InboxAddress, ReplyCommand } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import type { Seals } from "./seals.ts";

export interface AwaySession {
  readonly session: number;
  readonly tag: string;
  readonly untilMs: number;
}

export interface HeldReply {
  readonly correlationId: string;
  readonly error: string | null;
  readonly batch: Uint8Array;
}

/** A reply that is forged answers nothing that was asked here, whoever it is for. */
export type ReplyVerdict =
  | { readonly kind: "deliver"; readonly correlation: Correlation }
  | { readonly kind: "hold" }
  | { readonly kind: "late" | "orphaned" | "forged"; readonly refusal: Refusal };

export interface Requester {
  /** The tag of the session that is connected, or null. */
  readonly connected: string | null;
  readonly away: AwaySession | null;
  readonly heldBytes: number;
}

export function judgeReply(
  command: ReplyCommand,
  inbox: InboxAddress,
  { connected, away, heldBytes }: Requester,
  seals: Pick<Seals, "isProven">,
  nowMs: number,
): ReplyVerdict {
  const correlation = parseCorrelation(command.correlationId);
  const gone = (detail: string): Refusal => refuse("requester_gone", detail);
  if (correlation === null || !seals.isProven(correlation, inbox)) {
    return { kind: "forged", refusal: gone("correlationId: is not one of a call from this inbox") };
  }
  const isThere = connected === inbox.tag;
  const mayReturn = away !== null && away.tag === inbox.tag && away.untilMs > nowMs;
  const orphaned = { kind: "orphaned", refusal: gone("to: the session is gone") } as const;
  if (!isThere && !mayReturn) return orphaned;
  if (correlation.deadlineMs < nowMs) return { kind: "late", refusal: gone("the call's time was over") };
  if (isThere) return { kind: "deliver", correlation };
  return heldBytes + command.batch.byteLength <= LIMITS.replyGraceBytesMax ? { kind: "hold" } : orphaned;
}

/** Until when a session that was cut off is waited for; null when no reply is due. */
export function awayUntilMs(callsUntilMs: number, nowMs: number): number | null {
  return callsUntilMs > nowMs ? Math.min(callsUntilMs, nowMs + LIMITS.replyGraceMs) : null;
}
