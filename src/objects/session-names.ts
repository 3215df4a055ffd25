/**
 * How a hub's sessions are told apart, and opened again. The number and the tag make a session's inbox; what opens it
 * again is sealed under the hub's key, which is read, or drawn, when it is first needed.
 */
import { Seals } from "../hub/seals.ts";
import { newSession, type Session } from "../hub/session.ts";
import type { SessionClaims } from "../protocol/exchange-rpc.ts";
import { formatInbox, formatResumeKey, parseResumeKey } from "../protocol/inbox.ts";
import type { SessionServerFrame } from "../protocol/session-frames.ts";
import type { HubStore } from "../storage/hub-store.ts";

export class SessionNames {
  private readonly hub: string;
  private readonly store: HubStore;
  private drawn: Seals | null = null;
  private lastId = 0;

  constructor(hub: string, store: HubStore) {
    this.hub = hub;
    this.store = store;
  }

  get seals(): Seals {
    const draw = (): Uint8Array => crypto.getRandomValues(new Uint8Array(32));
    return (this.drawn ??= new Seals(this.store.sealKey(draw)));
  }

  /** Without a key nothing was ever told here, so there is nothing to prove, and none is drawn for who asks. */
  get sealsIfAny(): Seals | null {
    return this.drawn !== null || this.store.hasSealKey() ? this.seals : null;
  }

  /** Its number is later than every one given before, in this life of the object or an earlier one. */
  make(claims: SessionClaims, nowMs: number): Session {
    this.lastId = Math.max(this.lastId + 1, nowMs);
    return newSession(this.lastId, drawTag(), claims);
  }

  /** The storage was wiped, and the key with it. No session is left that was told anything under it. */
  forget(): void {
    this.drawn = null;
  }

  /** A session that was named in an earlier life. */
  note(id: number): void {
    this.lastId = Math.max(this.lastId, id);
  }

  /** The session that this key opens for its owner, and for nobody else. Whether it is still known is another matter. */
  opened(key: string | null, { subject }: SessionClaims): number | null {
    const resume = key === null ? null : parseResumeKey(key);
    if (resume === null || resume.hub !== this.hub) return null;
    const { session, secret } = resume;
    return this.sealsIfAny?.mayResume(secret, session, subject) === true ? session : null;
  }

  hello({ id, tag, claims }: Session): Extract<SessionServerFrame, { type: "hello" }> {
    const place = { hub: this.hub, session: id };
    const secret = this.seals.resumeSecret(id, claims.subject);
    return {
      type: "hello",
      hub: this.hub,
      inbox: formatInbox({ ...place, tag }),
      resume: formatResumeKey({ ...place, secret }),
    };
  }
}

/** 60 bits in base 36, at least 11 characters. */
function drawTag(): string {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return `${high.toString(36).padStart(7, "0")}${low.toString(36).padStart(7, "0")}`;
}
