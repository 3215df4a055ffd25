// A requester's address as text. It begins with a character that no name has, so it is never taken for a queue's.
import type { InboxAddress } from "./exchange-commands.ts";
import { LIMITS } from "./limits.ts";

/** The header by which the edge tells a hub of the key that a client resumes its session with. Only the edge may set it. */
export const RESUME_HEADER = "Millrace-Resume";

/** A client that comes back offers the key as a subprotocol behind this, so that it stands in no address. */
export const RESUME_PREFIX = "resume.";

/** A reply that goes to a queue says with this header of its message that the responder failed, and why. */
export const REPLY_ERROR_HEADER = "millrace-error";

/** `~<hub>.<session>.<tag>`: the hub's name, a number in base 36, and 11 or more characters drawn by chance. */
const INBOX = /^~(0|[1-9][0-9]?)\.(0|[1-9a-z][0-9a-z]{0,10})\.([0-9a-z]{11,64})$/;

/** `<hub>.<session>.<secret>`: as an inbox, but for the secret: 128 bits in base 16. */
const RESUME_KEY = /^(0|[1-9][0-9]?)\.(0|[1-9a-z][0-9a-z]{0,10})\.([0-9a-f]{32})$/;

/** What opens a session again. Told to its owner alone, and good for its subject alone. */
export interface ResumeKey {
  readonly hub: string;
  readonly session: number;
  readonly secret: string;
}

export function formatInbox({ hub, session, tag }: InboxAddress): string {
  return `~${hub}.${session.toString(36)}.${tag}`;
}

/** Null when it is none. */
export function parseInbox(address: string): InboxAddress | null {
  const match = INBOX.exec(address);
  const place = match && placeOf(match);
  return place && { ...place, tag: match[3]! };
}

export function formatResumeKey({ hub, session, secret }: ResumeKey): string {
  return `${hub}.${session.toString(36)}.${secret}`;
}

/** Null when it is none. */
export function parseResumeKey(text: string): ResumeKey | null {
  const match = RESUME_KEY.exec(text);
  const place = match && placeOf(match);
  return place && { ...place, secret: match[3]! };
}

function placeOf(match: RegExpExecArray): { hub: string; session: number } | null {
  const session = Number.parseInt(match[2]!, 36);
  const isPlace = Number(match[1]) < LIMITS.hubsMax && Number.isSafeInteger(session);
  return isPlace ? { hub: match[1]!, session } : null;
}

/** Whether a `replyTo` means a session rather than a queue. */
export function isInbox(replyTo: string): boolean {
  return replyTo.startsWith("~");
}
