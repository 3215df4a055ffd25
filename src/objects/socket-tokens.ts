/**
 * Whether a socket's token still holds. The edge looked at it when the socket was opened; since then it may have run
 * out or been revoked. The namespace's list of revoked tokens is asked for at most once in LIMITS.revocationLagMs, and
 * only where a socket has a token that can be revoked.
 */
import { LIMITS } from "../protocol/limits.ts";
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { SocketClaims } from "../protocol/rpc.ts";

const RETRY_MS = 1_000;

export class SocketTokens {
  private readonly askRevoked: () => Promise<Result<string[]>>;
  private revoked: ReadonlySet<string> = new Set();
  /** While it is later than now, the list is good enough. */
  private freshUntilMs = 0;
  /** When the alarm looks again, at the earliest. */
  private nextAskMs: number;
  private asking: Promise<Refusal | null> | null = null;
  /** After an answer that did not come: when to ask again. */
  private retryMs = 0;

  constructor(askRevoked: () => Promise<Result<string[]>>, nowMs: number) {
    this.askRevoked = askRevoked;
    this.nextAskMs = nowMs + LIMITS.revocationLagMs;
  }

  /** By what is known. Null: the token holds. */
  endedBy({ expiresMs, jti }: SocketClaims, nowMs: number): "token_expired" | "token_revoked" | null {
    if (expiresMs !== null && expiresMs <= nowMs) return "token_expired";
    return this.isRevoked(jti) ? "token_revoked" : null;
  }

  /** Whether enough is known now to deliver under it. */
  isJudged({ jti }: SocketClaims, nowMs: number): boolean {
    return jti === undefined || nowMs < this.freshUntilMs;
  }

  /** When a delivery that waits for the list may be tried again; null: nobody failed to tell it. */
  get nextTryMs(): number | null {
    return this.retryMs === 0 ? null : this.retryMs;
  }

  /** When to look again at a token under which messages are held. */
  nextLookMs({ expiresMs, jti }: SocketClaims): number {
    const askMs = jti === undefined ? Number.POSITIVE_INFINITY : this.nextAskMs;
    return Math.min(askMs, expiresMs ?? askMs);
  }

  isRevoked(jti: string | undefined): boolean {
    return jti !== undefined && this.revoked.has(jti);
  }

  /** Null: enough is known. All who must know more at a time wait for one answer, and go on in their order. */
  learn({ jti }: Pick<SocketClaims, "jti">, nowMs: number): Promise<Refusal | null> | null {
    if (jti === undefined || (this.asking === null && nowMs < this.freshUntilMs)) return null;
    this.asking ??= this.ask(nowMs).finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  private async ask(nowMs: number): Promise<Refusal | null> {
    this.nextAskMs = nowMs + RETRY_MS;
    try {
      const answer = await this.askRevoked();
      if (!answer.ok) {
        this.retryMs = this.nextAskMs;
        return answer;
      }
      this.retryMs = 0;
      this.revoked = new Set(answer.value);
      this.freshUntilMs = nowMs + LIMITS.revocationLagMs;
      this.nextAskMs = this.freshUntilMs;
      return null;
    } catch (error) {
      this.retryMs = this.nextAskMs;
      console.error("revoked tokens are not known", { error: String(error) });
      // As at the edge: a token that can't be judged is not taken.
      return refuse("unavailable", "token: whether it is revoked can't be told now", {
        retryAfterMs: RETRY_MS,
      });
    }
  }
}
