/**
 * Which sessions of a hub may go on. The namespace tells of a revocation at once; should its word not arrive, the hub asks
 * for the list itself before anything goes in or out, at most once in LIMITS.revocationLagMs and only while it has
 * sessions whose tokens can be revoked.
 */
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { LiveSession } from "./live-session.ts";
import { SocketTokens } from "./socket-tokens.ts";

export interface SessionTokensPorts {
  sessions(): Iterable<LiveSession>;
  askRevoked(): Promise<Result<string[]>>;
  end(live: LiveSession, refusal: Refusal): void;
}

export class SessionTokens {
  private readonly ports: SessionTokensPorts;
  private readonly tokens: SocketTokens;
  /** Sessions whose tokens can be revoked. */
  private revocable = 0;
  /** The first of their tokens ends then, or later. */
  private firstEndMs = Number.POSITIVE_INFINITY;

  constructor(ports: SessionTokensPorts, nowMs: number) {
    this.ports = ports;
    this.tokens = new SocketTokens(() => this.askTwice(), nowMs);
  }

  entered({ session: { claims } }: LiveSession): void {
    if (claims.jti !== undefined) this.revocable++;
    this.firstEndMs = Math.min(this.firstEndMs, claims.expiresMs ?? Number.POSITIVE_INFINITY);
  }

  left({ session: { claims } }: LiveSession): void {
    if (claims.jti !== undefined) this.revocable--;
  }

  /** Ends the sessions whose token has ended. Null: it is done; else it waits for the list. */
  judge(nowMs: number): Promise<void> | null {
    if (nowMs >= this.firstEndMs) this.endExpired(nowMs);
    const learning = this.revocable > 0 ? this.tokens.learn({ jti: "" }, nowMs) : null;
    return learning && this.endRevoked(learning);
  }

  private endExpired(nowMs: number): void {
    this.firstEndMs = Number.POSITIVE_INFINITY;
    for (const live of this.ports.sessions()) {
      const endMs = live.session.claims.expiresMs ?? Number.POSITIVE_INFINITY;
      if (endMs <= nowMs) this.ports.end(live, refuse("unauthenticated", "token: it has expired"));
      else this.firstEndMs = Math.min(this.firstEndMs, endMs);
    }
  }

  private async endRevoked(learning: Promise<Refusal | null>): Promise<void> {
    const unknown = await learning;
    for (const live of this.ports.sessions()) {
      const { jti } = live.session.claims;
      if (jti === undefined) continue;
      if (unknown !== null) this.ports.end(live, unknown);
      else if (this.tokens.isRevoked(jti))
        this.ports.end(live, refuse("unauthenticated", "token: has been revoked"));
    }
  }

  /** An object that is being replaced fails once. */
  private async askTwice(): Promise<Result<string[]>> {
    try {
      return await this.ports.askRevoked();
    } catch {
      return this.ports.askRevoked();
    }
  }
}
