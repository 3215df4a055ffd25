/**
 * What a token allows (PROTOCOL §8.3).
 *
 * A grant's pattern is one of the topic grammar. A grant without `exchange` is over the names of queues and exchanges,
 * taken as words between dots, and over the topics of every exchange. A grant with `exchange` is over the topics of that
 * exchange and over no name at all. A grant may end before its token does, so every question has a time.
 */
import type { Publisher, RateCharge } from "../protocol/commands.ts";
import { parseCorrelation } from "../protocol/correlation.ts";
import type { Binding } from "../protocol/exchange-commands.ts";
import type { ExchangeKind } from "../protocol/exchange-config.ts";
import { refuse, type Refusal } from "../protocol/result.ts";
import type { Claims, Grant, GrantVerb } from "../protocol/rpc.ts";
import { ANY_WORDS, covers, matches, overlaps } from "./topic.ts";

function isLive(grant: Grant, nowMs: number): boolean {
  return grant.expiresMs === undefined || nowMs < grant.expiresMs;
}

function isOverName(grant: Grant, verb: GrantVerb, name: string, nowMs: number): boolean {
  return (
    grant.verb === verb &&
    grant.exchange === undefined &&
    isLive(grant, nowMs) &&
    matches(grant.pattern, name)
  );
}

function isOverExchange(grant: Grant, verb: GrantVerb, exchange: string, nowMs: number): boolean {
  const isHere = grant.exchange === undefined || grant.exchange === exchange;
  return grant.verb === verb && isHere && isLive(grant, nowMs);
}

/** Whether one of these verbs is granted over a queue or an exchange as such. */
export function allowsName(
  grants: readonly Grant[],
  verbs: readonly GrantVerb[],
  name: string,
  nowMs: number,
): boolean {
  return grants.some((grant) => verbs.some((verb) => isOverName(grant, verb, name, nowMs)));
}

/** The patterns of the names over which one of these verbs is granted. */
export function namePatterns(
  grants: readonly Grant[],
  verbs: readonly GrantVerb[],
  nowMs: number,
): readonly string[] {
  const patterns = grants
    .filter((grant) => verbs.includes(grant.verb) && grant.exchange === undefined && isLive(grant, nowMs))
    .map(({ pattern }) => pattern);
  return patterns.includes(ANY_WORDS) ? [ANY_WORDS] : [...new Set(patterns)];
}

/** Whether a verb is granted over one topic in an exchange. */
export function allowsTopic(
  grants: readonly Grant[],
  verb: GrantVerb,
  exchange: string,
  topic: string,
  nowMs: number,
): boolean {
  return grants.some(
    (grant) => isOverExchange(grant, verb, exchange, nowMs) && matches(grant.pattern, topic),
  );
}

/** Whether the token governs every queue there is or will be: what quotas and revocations need. */
export function managesAll(grants: readonly Grant[], nowMs: number): boolean {
  return grants.some(
    (grant) =>
      grant.verb === "manage" &&
      grant.pattern === ANY_WORDS &&
      grant.exchange === undefined &&
      isLive(grant, nowMs),
  );
}

export function lacksGrant(
  claims: Claims,
  verbs: readonly GrantVerb[],
  name: string,
  nowMs: number,
): Refusal | null {
  if (allowsName(claims.grants, verbs, name, nowMs)) return null;
  return refuse("forbidden", `token: has no grant to ${verbs.join(" or ")} "${name}"`);
}

/**
 * Why presence may not show this name, or null: it is the subject's own, or one of several behind it and a slash. Whoever
 * manages the exchange may give any.
 */
export function lacksMember(claims: Claims, exchange: string, member: string, nowMs: number): Refusal | null {
  const { subject, grants } = claims;
  const isOwn = member === subject || member.startsWith(`${subject}/`);
  if (isOwn || allowsName(grants, ["manage"], exchange, nowMs)) return null;
  return refuse("forbidden", "member: must be the token's subject, alone or with a slash and more behind it");
}

/**
 * Why the token may not have its replies sent to these queues, or null. Who answers may have more rights than who asks, and
 * must not be made to publish where the other may not.
 */
export function lacksReplyTo(claims: Claims, queues: Iterable<string>, nowMs: number): Refusal | null {
  for (const queue of queues) {
    const lacking = lacksGrant(claims, ["publish"], queue, nowMs);
    if (lacking !== null) return { ...lacking, detail: `replyTo: ${lacking.detail}` };
  }
  return null;
}

/** Of a socket's rights as much is kept, in characters, as its attachment has room for. */
const KEPT_PATTERNS_MAX = 1_024;

/**
 * Where a socket may have its replies sent, as long as it is open: patterns of queues, those of short ones before long ones
 * where there are very many. Null: anywhere.
 */
export function replyPatterns(
  claims: Claims,
  untilMs: number | null,
  nowMs: number,
): readonly string[] | null {
  const granted = claims.grants
    .filter(({ verb, exchange, expiresMs = Infinity }) => {
      const lasts = expiresMs >= (untilMs ?? Infinity) && expiresMs > nowMs;
      return verb === "publish" && exchange === undefined && lasts;
    })
    .map(({ pattern }) => pattern);
  if (granted.includes(ANY_WORDS)) return null;
  let length = 0;
  const shortFirst = [...new Set(granted)].sort((a, b) => a.length - b.length);
  return shortFirst.filter((pattern) => (length += pattern.length) <= KEPT_PATTERNS_MAX);
}

/** As `lacksReplyTo`, for a socket that keeps `replyPatterns`. */
export function lacksReplyPattern(patterns: readonly string[], queues: Iterable<string>): Refusal | null {
  for (const queue of queues) {
    if (patterns.some((pattern) => matches(pattern, queue))) continue;
    return refuse("forbidden", `replyTo: token: has no grant to publish "${queue}"`);
  }
  return null;
}

/**
 * Why the token may not answer the call with this correlation id: it must be one that a consumer of the call's queue was
 * given. That the id was not made up is for the caller's hub to say.
 */
export function lacksAnswer(claims: Claims, correlationId: string, nowMs: number): Refusal | null {
  const call = parseCorrelation(correlationId);
  if (call === null) return refuse("requester_gone", "correlationId: is not one of a call");
  return lacksGrant(claims, ["consume"], call.queue, nowMs);
}

export function lacksTopicGrant(
  claims: Claims,
  verb: GrantVerb,
  exchange: string,
  topic: string,
  nowMs: number,
): Refusal | null {
  if (allowsTopic(claims.grants, verb, exchange, topic, nowMs)) return null;
  return refuse("forbidden", `token: has no grant to ${verb} "${topic}" in "${exchange}"`);
}

/**
 * When a right over a name that is held now ends: the last of the grants that give it counts. With several verbs, the
 * first right to end counts; a verb that is not granted now does not. Null: none ends before the token.
 */
export function rightsEndMs(
  grants: readonly Grant[],
  verbs: readonly GrantVerb[],
  name: string,
  nowMs: number,
): number | null {
  const ends = verbs.flatMap((verb) => {
    const giving = grants.filter((grant) => isOverName(grant, verb, name, nowMs));
    return giving.length === 0 ? [] : [Math.max(...giving.map((grant) => grant.expiresMs ?? Infinity))];
  });
  const first = Math.min(...ends);
  return first === Infinity ? null : first;
}

/**
 * all       whatever the subscription's pattern matches may be seen
 * none      nothing of it
 * filtered  what one of these patterns matches too, in the order of their code units
 */
export type SubscriptionScope =
  | { readonly kind: "all" }
  | { readonly kind: "none" }
  | { readonly kind: "filtered"; readonly patterns: readonly string[] };

/** What a subscription with this pattern may see. It takes one grant to cover it; several together give `filtered`. */
export function subscriptionScope(
  grants: readonly Grant[],
  exchange: string,
  pattern: string,
  nowMs: number,
): SubscriptionScope {
  const patterns = grants
    .filter((grant) => isOverExchange(grant, "subscribe", exchange, nowMs))
    .map((grant) => grant.pattern)
    .filter((one) => overlaps(one, pattern));
  if (patterns.some((one) => covers(one, pattern))) return { kind: "all" };
  if (patterns.length === 0) return { kind: "none" };
  return { kind: "filtered", patterns: [...new Set(patterns)].sort() };
}

/** When `subscriptionScope` may next give another answer: the first live grant of its kind to end. Null: never. */
export function scopeEndMs(grants: readonly Grant[], exchange: string, nowMs: number): number | null {
  const ends = grants
    .filter((grant) => isOverExchange(grant, "subscribe", exchange, nowMs))
    .map((grant) => grant.expiresMs ?? Infinity);
  const first = Math.min(...ends);
  return first === Infinity ? null : first;
}

/** An exchange that is bound from. */
export interface BoundExchange {
  readonly name: string;
  readonly kind: ExchangeKind;
}

export function mayBind(
  grants: readonly Grant[],
  exchange: BoundExchange,
  binding: Pick<Binding, "destination" | "key">,
  nowMs: number,
): boolean {
  return (
    allowsName(grants, ["manage"], destinationName(binding), nowMs) &&
    mayBindFrom(grants, exchange, binding.key, nowMs)
  );
}

/** Why the token may not make or remove this binding, or null: it has to govern the destination, and may see the source. */
export function lacksBindGrant(
  claims: Claims,
  exchange: BoundExchange,
  binding: Pick<Binding, "destination" | "key">,
  nowMs: number,
): Refusal | null {
  const lacking = lacksGrant(claims, ["manage"], destinationName(binding), nowMs);
  if (lacking !== null || mayBindFrom(claims.grants, exchange, binding.key, nowMs)) return lacking;
  return refuse(
    "forbidden",
    `token: has no grant to manage "${exchange.name}" or to subscribe to all that the binding takes from it`,
  );
}

function destinationName({ destination }: Pick<Binding, "destination">): string {
  return "queue" in destination ? destination.queue : destination.exchange;
}

/** A binding copies what it matches, so whoever may see all of that may bind. */
function mayBindFrom(
  grants: readonly Grant[],
  { name, kind }: BoundExchange,
  key: string,
  nowMs: number,
): boolean {
  if (allowsName(grants, ["manage"], name, nowMs)) return true;
  if (kind === "direct") return allowsTopic(grants, "subscribe", name, key, nowMs);
  // Of the other kinds the key says nothing about topics: any may pass.
  const taken = kind === "topic" ? key : ANY_WORDS;
  return subscriptionScope(grants, name, taken, nowMs).kind === "all";
}

/** What a rate is asked for: a queue or an exchange as such, or one topic in an exchange. */
export type GrantTarget = { readonly name: string } | { readonly exchange: string; readonly topic: string };

/**
 * Messages a second: the highest rate among the grants that allow it, null when one of them has none. 0 when nothing
 * allows it at all.
 */
export function rateOf(
  grants: readonly Grant[],
  verb: GrantVerb,
  target: GrantTarget,
  nowMs: number,
): number | null {
  const rates = giving(grants, verb, target, nowMs).map((grant) => grant.ratePerSecond ?? Infinity);
  const highest = Math.max(0, ...rates);
  return highest === Infinity ? null : highest;
}

function giving(grants: readonly Grant[], verb: GrantVerb, target: GrantTarget, nowMs: number): Grant[] {
  return grants.filter((grant) =>
    "name" in target
      ? isOverName(grant, verb, target.name, nowMs)
      : isOverExchange(grant, verb, target.exchange, nowMs) && matches(grant.pattern, target.topic),
  );
}

/**
 * Who publishes to these targets. Its cancel keys are its own where every grant that lets it publish to one of them says
 * so.
 */
export function publisherOf(
  { subject, grants }: Pick<Claims, "subject" | "grants">,
  targets: readonly GrantTarget[],
  nowMs: number,
): Publisher {
  if (grants.every(({ own }) => own !== true)) return { subject };
  const hasOwnKeys = targets.some((target) => {
    const given = giving(grants, "publish", target, nowMs);
    return given.length > 0 && given.every(({ own }) => own === true);
  });
  return hasOwnKeys ? { subject, hasOwnKeys } : { subject };
}

/** Messages of one request that go the same way. */
export interface Use {
  readonly target: GrantTarget;
  readonly messages: number;
}

/** How many consumers of its subject the token allows on a queue, where it says so: the most of its live grants. */
export function consumersMaxOf(
  { grants }: Claims,
  queue: string,
  nowMs: number,
): { readonly consumersMax?: number } {
  const numbers = grants
    .filter((grant) => isOverName(grant, "consume", queue, nowMs))
    .map(({ consumersMax }) => consumersMax)
    .filter((number) => number !== undefined);
  return numbers.length === 0 ? {} : { consumersMax: Math.max(...numbers) };
}

/** The bucket of a token and a grant of it. A token that is issued anew without a `jti` has the same. */
export function bucketOf({ subject, jti }: Claims, { expiresMs: _end, ...grant }: Grant): string {
  return JSON.stringify([jti ?? null, subject, grant]);
}

/** What a publish is charged to at its target; nothing where no rate limits it. */
export function rateCharges(
  claims: Claims,
  uses: readonly Use[],
  nowMs: number,
): (RateCharge & { readonly messages: number })[] {
  if (claims.grants.every((grant) => grant.ratePerSecond === undefined)) return [];
  return [...chargesOf(claims.grants, "publish", uses, nowMs)].map(([grant, messages]) => ({
    bucket: bucketOf(claims, grant),
    ratePerSecond: grant.ratePerSecond ?? Infinity,
    messages,
  }));
}

/** The same for a queue, whose messages are all charged alike. */
export function queueRate(claims: Claims, queue: string, nowMs: number): { readonly rate?: RateCharge } {
  const [charge] = rateCharges(claims, [{ target: { name: queue }, messages: 1 }], nowMs);
  if (charge === undefined) return {};
  return { rate: { bucket: charge.bucket, ratePerSecond: charge.ratePerSecond } };
}

/** Which grants' rates are charged, and with how many messages: of several that allow a message, the fastest. */
export function chargesOf(
  grants: readonly Grant[],
  verb: GrantVerb,
  uses: readonly Use[],
  nowMs: number,
): Map<Grant, number> {
  const charges = new Map<Grant, number>();
  for (const { target, messages } of uses) {
    const rate = rateOf(grants, verb, target, nowMs);
    // Nothing limits it, or another verb allows it.
    if (rate === null || rate === 0) continue;
    const charged = grants.find((grant) => rateOf([grant], verb, target, nowMs) === rate);
    if (charged !== undefined) charges.set(charged, (charges.get(charged) ?? 0) + messages);
  }
  return charges;
}
