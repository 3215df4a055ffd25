/**
 * What a peer was sent and has not shown to have read. Sending needs no one who reads: what a deaf peer is sent piles up in
 * the memory of whoever sends, so each socket has a bound on it (PROTOCOL §6.6).
 *
 * Only what a reader alone can know proves that it has read: the lease of a delivery, or the number of a mark, which is a
 * frame that asks for this. Frames arrive in order, so one that is proved proves all before it.
 *
 *   sent ──► bytes ──a quarter of the bound──► mark ──reached, or a settle──► read
 *              └──the bound──► no deliveries; of answers alone: the socket is closed
 */
import { LIMITS } from "./limits.ts";

/** What outlives hibernation, in the socket's attachment. */
export interface UnreadState {
  readonly bytes: number;
  /** The last frame that may prove it; null: none may. */
  readonly proof: string | null;
}

export const NOTHING_UNREAD: UnreadState = { bytes: 0, proof: null };

/** Bytes that a consumer may be sent now. `allBytes`: unread by all consumers of its queue. */
export function roomOf({ bytes, bytesMax }: Unread, allBytes: number): number {
  if (allBytes >= 2 * LIMITS.unreadQueueBytesMax) return 0;
  const max = allBytes >= LIMITS.unreadQueueBytesMax ? Math.min(bytesMax, LIMITS.unreadShareMax) : bytesMax;
  return Math.max(0, max - bytes);
}

const SAVED_BYTES = 64 * 1024;
/** What a socket's frames cost beside their bytes. */
const FRAME_BYTES = 64;

export class Unread {
  readonly bytesMax: number;
  /** Frames that may prove something, the oldest first, each with the bytes since the one before. */
  private readonly proofs = new Map<string, number>();
  /** Since the last of these. */
  private rest = 0;
  private total = 0;
  /** Of `total`, at the most: what is no delivery. A peer makes as many of these as it likes. */
  private answers = 0;
  private lastProof: string | null;
  /** `total` when it was last written down. */
  private savedAt: number;
  /** `total` at the last mark that is out. */
  private markedAt = 0;

  /** `bytesMax`: a part of what a socket may have, where several are sent to one client. */
  constructor(state: UnreadState = NOTHING_UNREAD, bytesMax: number = LIMITS.unreadBytesMax) {
    this.bytesMax = bytesMax;
    this.total = state.bytes;
    this.savedAt = state.bytes;
    this.lastProof = state.proof;
    if (state.proof === null) this.rest = state.bytes;
    else this.proofs.set(state.proof, state.bytes);
  }

  get bytes(): number {
    return this.total;
  }

  /** No more deliveries. */
  get isStalled(): boolean {
    return this.total >= this.bytesMax;
  }

  /** The peer sends and does not read what it is answered. */
  get isDeaf(): boolean {
    return this.answers >= LIMITS.unreadAnswersMax;
  }

  /** A quarter of the bound has gone out since the last proof or mark. */
  get wantsMark(): boolean {
    return this.total - this.markedAt >= this.bytesMax / 4;
  }

  /** So much has changed that it is to be written down, lest sleep wipes it out. */
  get wantsSaving(): boolean {
    return Math.abs(this.total - this.savedAt) >= SAVED_BYTES;
  }

  /** To be written down. */
  save(): UnreadState {
    this.savedAt = this.total;
    return { bytes: this.total, proof: this.proofs.size === 0 ? null : this.lastProof };
  }

  /** An answer to what the peer sent. */
  answered(bytes: number): void {
    this.sent(bytes);
    this.answers += bytes + FRAME_BYTES;
  }

  sent(bytes: number): void {
    this.add(bytes + FRAME_BYTES);
  }

  delivered(bytes: number, lease: number): void {
    this.sent(bytes);
    this.prove(`l${lease}`);
  }

  marked(mark: number): void {
    this.add(FRAME_BYTES);
    this.prove(`m${mark}`);
    this.markedAt = this.total;
  }

  private add(bytes: number): void {
    this.rest += bytes;
    this.total += bytes;
  }

  private prove(proof: string): void {
    this.proofs.set(proof, this.rest);
    this.lastProof = proof;
    this.rest = 0;
  }

  /** Whether that proves something. */
  reached(mark: number): boolean {
    return this.read(`m${mark}`);
  }

  settled(lease: number): boolean {
    return this.read(`l${lease}`);
  }

  /** The platform says that nothing waits. */
  allSent(): void {
    this.proofs.clear();
    this.rest = 0;
    this.total = 0;
    this.answers = 0;
    this.markedAt = 0;
  }

  private read(proved: string): boolean {
    if (!this.proofs.has(proved)) return false;
    for (const [proof, bytes] of this.proofs) {
      this.proofs.delete(proof);
      this.total -= bytes;
      if (proof === proved) break;
    }
    this.answers = Math.min(this.answers, this.total);
    this.markedAt = 0;
    return true;
  }
}
