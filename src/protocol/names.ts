import { LIMITS } from "./limits.ts";
import { ok, refuse, type Result } from "./result.ts";

/** PROTOCOL §1.2: letters, digits, `.`, `_`, `-`; the first is a letter or digit; at most 128 bytes. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Checks a name; `field` is what the refusal calls it. */
export function parseName(field: string, name: string): Result<string> {
  if (NAME_PATTERN.test(name)) return ok(name);
  const shown = name.length > 40 ? `${name.slice(0, 40)}…` : name;
  return refuse(
    "bad_name",
    `${field}: "${shown}" must be 1 to ${LIMITS.nameBytesMax} letters, digits, ".", "_" or "-", the first a letter or digit`,
  );
}

/** The name of a queue's object. The namespace is part of it, so that one tenant can never address another's. */
export function queueObjectName(namespace: string, queue: string): string {
  return `${namespace}/${queue}`;
}

export function splitObjectName(name: string): { namespace: string; queue: string } {
  const slash = name.indexOf("/");
  return { namespace: name.slice(0, slash), queue: name.slice(slash + 1) };
}
