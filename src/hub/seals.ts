/**
 * What a hub has told and can check again without keeping it: keyed digests (HMAC-SHA-256) under a key of its own. An
 * inbox and a correlation id travel through queues to whoever answers, so neither is a key to anything: a session is
 * opened again by a secret that only its owner was told, and a reply needs the proof that lies in its own request.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { PROOF_DIGITS, type Call, type Correlation } from "../protocol/correlation.ts";
import type { InboxAddress } from "../protocol/exchange-commands.ts";

/** The digits of a resume secret: 128 bits. */
const SECRET_DIGITS = 32;

type Inbox = Pick<InboxAddress, "session" | "tag">;

export class Seals {
  private readonly key: Uint8Array;

  /** `key`: 256 bits of the platform's chance. */
  constructor(key: Uint8Array) {
    this.key = key;
  }

  /** Opens this session again, for this subject. A hub is of one namespace. */
  resumeSecret(session: number, subject: string): string {
    return this.digest("resume", [session, subject], SECRET_DIGITS);
  }

  mayResume(secret: string, session: number, subject: string): boolean {
    return isSameText(secret, this.resumeSecret(session, subject));
  }

  /** Stands in a request's correlation id: only who was given the request can answer it. */
  proofOf({ format, ref, deadlineMs, queue }: Call, { session, tag }: Inbox): string {
    return this.digest("call", [session, tag, format, ref, deadlineMs, queue], PROOF_DIGITS);
  }

  isProven(correlation: Correlation, inbox: Inbox): boolean {
    return isSameText(correlation.proof, this.proofOf(correlation, inbox));
  }

  private digest(what: string, fields: readonly (string | number)[], digits: number): string {
    const text = JSON.stringify([what, ...fields]);
    return bytesToHex(hmac(sha256, this.key, utf8ToBytes(text))).slice(0, digits);
  }
}

/** In a time that does not tell how much of it is the same. */
function isSameText(one: string, other: string): boolean {
  if (one.length !== other.length) return false;
  let difference = 0;
  for (let i = 0; i < one.length; i++) difference |= one.charCodeAt(i) ^ other.charCodeAt(i);
  return difference === 0;
}
