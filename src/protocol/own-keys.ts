/**
 * Names that are one publisher's own (PROTOCOL §7.9). In a message a cancel key of its own has whose it is in front:
 *
 *   own:<20 hex digits of the subject's SHA-256>:<key>        or, where that is longer than a text may be,
 *   own:<20 hex digits of the subject's SHA-256>#<SHA-256 of the key>
 *
 * Nobody else may publish a key of this form, so it can be trusted wherever the message goes. A dedup id has this form between the exchange that
 * held the message until it was due and the queue that takes it.
 */

const OWN = /^own:[0-9a-f]{20}[:#]/;

export function isOwnKey(key: string): boolean {
  return OWN.test(key);
}

/** The key as its publisher knows it, unless it was too long for that. */
export function bareKey(key: string): string {
  return key.replace(OWN, "");
}

/** Whose it is, as it stands in front; empty where it is everyone's. */
export function ownerIn(key: string): string {
  return OWN.exec(key)?.[0] ?? "";
}
