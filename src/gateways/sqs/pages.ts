// Lists of queues by pages. A token is the name that the page before ended with.
import { fromBase64, toBase64 } from "../../protocol/message-json.ts";
import { NAME_PATTERN } from "../../protocol/names.ts";
import { readText } from "../../protocol/utf8.ts";
import type { Caller } from "./caller.ts";
import { answered, type Answer, type SqsRefusal } from "./errors.ts";
import { queueUrl } from "./identifiers.ts";
import { invalidBecause } from "./parameters.ts";
import { sqsRefusalOf } from "./refusals.ts";

const RESULTS_MAX = 1_000;

export interface PageWish {
  readonly prefix: string;
  /** Absent: all that there are, up to the most that a page has, and no token. */
  readonly max: number | undefined;
  readonly token: string | undefined;
  readonly deadLetter?: string;
}

export interface UrlPage {
  readonly urls: string[];
  readonly NextToken?: string;
}

export async function listPage(wish: PageWish, caller: Caller): Promise<Answer<UrlPage>> {
  const { prefix, max = RESULTS_MAX, token, deadLetter } = wish;
  const refused = refuseWish(wish);
  if (refused !== null) return refused;
  let after = token === undefined ? "" : nameOf(token);
  if (after === null) return invalidBecause("Invalid or expired next token.");
  const names: string[] = [];
  const filter = deadLetter === undefined ? {} : { deadLetter };
  for (;;) {
    const page = await caller.broker.listQueues({ prefix, limit: max, after, ...filter });
    if (!page.ok) return sqsRefusalOf(page);
    names.push(...page.value.queues);
    // A page has only what the caller may know of, so one may not be enough.
    if (page.value.after === undefined || names.length > max) break;
    after = page.value.after;
  }
  const urls = names.slice(0, max).map((name) => queueUrl(caller.origin, name));
  const hasMore = wish.max !== undefined && names.length > max;
  return answered({ urls, ...(hasMore ? { NextToken: tokenOf(names[max - 1]!) } : {}) });
}

function refuseWish({ max, token }: PageWish): SqsRefusal | null {
  if (max !== undefined && (max < 1 || max > RESULTS_MAX)) {
    return invalidBecause(
      `Value for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and ${RESULTS_MAX}.`,
    );
  }
  return token !== undefined && max === undefined
    ? invalidBecause("MaxResults is a mandatory parameter when you provide a value for NextToken.")
    : null;
}

function tokenOf(name: string): string {
  return toBase64(new TextEncoder().encode(name));
}

function nameOf(token: string): string | null {
  const bytes = fromBase64(token);
  const name = bytes === null ? "" : readText(bytes, 0, bytes.length);
  return NAME_PATTERN.test(name) ? name : null;
}
