// What a token allows. A grant's pattern is matched against the queue's name, taken as words between dots.
import { refuse, type Refusal } from "../protocol/result.ts";
import type { Claims, Grant, GrantVerb } from "../protocol/rpc.ts";

/**
 * `*` stands for one word, `#` for zero or more. One row per word of the pattern, so that many `#` cost words × words
 * and never more.
 */
export function patternMatches(pattern: string, name: string): boolean {
  const words = name.split(".");
  // reached[i]: the pattern so far matches the first i words.
  let reached = [true, ...words.map(() => false)];
  for (const part of pattern.split(".")) {
    const next = words.map(() => false);
    next.push(false);
    for (let i = 0; i <= words.length; i++) {
      if (part === "#") next[i] = reached[i] === true || (i > 0 && next[i - 1] === true);
      else next[i] = i > 0 && reached[i - 1] === true && (part === "*" || part === words[i - 1]);
    }
    reached = next;
  }
  return reached[words.length] === true;
}

export function allows(grants: readonly Grant[], verbs: readonly GrantVerb[], queue: string): boolean {
  return grants.some((grant) => verbs.includes(grant.verb) && patternMatches(grant.pattern, queue));
}

/** Whether the token governs every queue there is or will be: what quotas and revocations need. */
export function managesAll(grants: readonly Grant[]): boolean {
  return grants.some((grant) => grant.verb === "manage" && grant.pattern === "#");
}

export function lacksGrant(claims: Claims, verbs: readonly GrantVerb[], queue: string): Refusal | null {
  if (allows(claims.grants, verbs, queue)) return null;
  return refuse("forbidden", `token: has no grant to ${verbs.join(" or ")} "${queue}"`);
}
