// A requester's address as text. It begins with a character that no name has, so it is never taken for a queue's.
import type { InboxAddress } from "./exchange-commands.ts";
import { LIMITS } from "./limits.ts";

/** The header by which the edge tells a hub of the inbox that a session had. Only the edge may set it. */
export const INBOX_HEADER = "Millrace-Inbox";

/** A reply that goes to a queue says with this header of its message that the responder failed, and why. */
export const REPLY_ERROR_HEADER = "millrace-error";

/** `~<hub>.<session>.<secret>`: the hub's name, a number in base 36, and 11 or more characters that can't be guessed. */
const INBOX = /^~(0|[1-9][0-9]?)\.(0|[1-9a-z][0-9a-z]{0,10})\.([0-9a-z]{11,64})$/;

export function formatInbox({ hub, session, secret }: InboxAddress): string {
  return `~${hub}.${session.toString(36)}.${secret}`;
}

/** Null when it is none. */
export function parseInbox(address: string): InboxAddress | null {
  const match = INBOX.exec(address);
  if (match === null) return null;
  const session = Number.parseInt(match[2]!, 36);
  const isAddress = Number(match[1]) < LIMITS.hubsMax && Number.isSafeInteger(session);
  return isAddress ? { hub: match[1]!, session, secret: match[3]! } : null;
}

/** Whether a `replyTo` means a session rather than a queue. */
export function isInbox(replyTo: string): boolean {
  return replyTo.startsWith("~");
}
