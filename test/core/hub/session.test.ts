// A session lies in its socket's attachment: what it may hold, and that this always fits.
import { serialize } from "node:v8";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ATTACHMENT_BYTES_MAX, attachmentBytes } from "../../../src/hub/attachment.ts";
import {
  newSession,
  refuseSize,
  subscriptionOf,
  withoutQueue,
  withoutSubscription,
  withoutWatch,
  withQueue,
  withSubscription,
  withWatch,
  type ConsumedQueue,
  type Session,
  type Subscription,
} from "../../../src/hub/session.ts";
import type { SessionClaims } from "../../../src/protocol/exchange-rpc.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import type { Grant } from "../../../src/protocol/rpc.ts";
import { fuzzRun } from "../../support/seed.ts";

const CLAIMS: SessionClaims = {
  namespace: "n",
  subject: "ann",
  grants: [{ verb: "subscribe", pattern: "#" }],
};

function subscription(changes: Partial<Subscription> = {}): Subscription {
  return {
    exchange: "e",
    pattern: "a.#",
    format: "binary",
    onSlow: "disconnect",
    member: "ann",
    scope: null,
    attachment: Number.MAX_SAFE_INTEGER,
    epoch: "z".repeat(10),
    after: Number.MAX_SAFE_INTEGER,
    ...changes,
  };
}

function queue(changes: Partial<ConsumedQueue> = {}): ConsumedQueue {
  return {
    queue: "q",
    ids: [2 ** 52],
    name: "c",
    credit: 4_096,
    leaseMs: LIMITS.leaseMsMax,
    priority: -100,
    isExclusive: true,
    format: "binary",
    ...changes,
  };
}

/** Adds what `make` gives until it is refused. */
function fill(session: Session, max: number, add: (session: Session, i: number) => Session): Session {
  let full = session;
  for (let i = 0; i < max; i++) {
    const next = add(full, i);
    if (refuseSize(next)) return full;
    full = next;
  }
  return full;
}

/** As large as a token of 4,096 bytes can make them: about 3,000 bytes of JSON, with what costs most when it is read. */
function hugeClaims(pattern: string, extra: Partial<Grant>): SessionClaims {
  const grants: Grant[] = [];
  const told = (): number => {
    const short = grants.map(({ expiresMs, ...rest }) =>
      expiresMs === undefined ? rest : { ...rest, exp: 1 },
    );
    return new TextEncoder().encode(JSON.stringify(short)).length;
  };
  while (told() < 2_850 && grants.length < 256) grants.push({ verb: "subscribe", pattern, ...extra });
  return { namespace: "n", subject: "ü".repeat(60), jti: "j".repeat(32), expiresMs: 2 ** 52, grants };
}

const CLAIMS_BY_NAME: readonly (readonly [string, SessionClaims])[] = [
  ["of one grant", CLAIMS],
  ["of very many grants", hugeClaims("a", {})],
  ["of grants that end", hugeClaims("a", { expiresMs: 2 ** 52 })],
  ["of long patterns in two bytes a letter", hugeClaims(`${"x".repeat(250)}€`, { expiresMs: 2 ** 52 })],
];

describe("a session", () => {
  it.each(CLAIMS_BY_NAME)("with a token %s has room for a subscription and a queue", (_name, claims) => {
    const session = withQueue(withSubscription(newSession(1, "s", claims), subscription()), queue());
    expect(refuseSize(session)).toBeNull();
  });

  it.each(CLAIMS_BY_NAME)("with a token %s fits its attachment, filled in any way", (_name, claims) => {
    const empty = { ...newSession(2 ** 40, "s".repeat(64), claims), callsUntilMs: 2 ** 52 };
    const wide = "€".repeat(30);
    const ways: Session[] = [
      fill(empty, 200, (session, i) => withSubscription(session, subscription({ pattern: `p${i}` }))),
      fill(empty, 200, (session, i) =>
        withSubscription(session, subscription({ pattern: `${wide}.${i}`, member: wide })),
      ),
      fill(empty, 200, (session, i) =>
        withSubscription(session, subscription({ pattern: `p${i}`, scope: ["a.#", wide] })),
      ),
      fill(empty, 200, (session, i) =>
        withSubscription(
          session,
          subscription({ pattern: `p${i}`, scope: Array.from({ length: 30 }, () => "a") }),
        ),
      ),
      fill(empty, 200, (session, i) => withWatch(session, { exchange: "e", pattern: `${wide}.${i}` })),
      fill(
        fill(empty, 40, (session, i) => withQueue(session, queue({ queue: `q${i}`, name: "n".repeat(128) }))),
        200,
        (session, i) => withSubscription(session, subscription({ pattern: `p${i}` })),
      ),
    ];
    for (const session of ways) {
      const bytes = serialize(session).length;
      expect(bytes).toBeLessThan(ATTACHMENT_BYTES_MAX);
      expect(session.subscriptions.length + session.watches.length).toBeGreaterThan(0);
    }
  });

  it("has as many subscriptions, watches and queues as promised when their names are short", () => {
    const empty = newSession(1, "s", CLAIMS);
    const many = fill(empty, 200, (session, i) =>
      i % 2 === 0
        ? withSubscription(session, subscription({ pattern: `p.${i}` }))
        : withWatch(session, { exchange: "e", pattern: `p.${i}` }),
    );
    expect([many.subscriptions.length, many.watches.length]).toEqual([50, 50]);
    const subscribed = fill(empty, 200, (session, i) =>
      withSubscription(session, subscription({ pattern: `p.${i}` })),
    );
    expect(subscribed.subscriptions).toHaveLength(LIMITS.subscriptionsMax);
    const consuming = fill(empty, 200, (session, i) => withQueue(session, queue({ queue: `q.${i}` })));
    expect(consuming.queues).toHaveLength(LIMITS.consumedQueuesMax);
    const over = withQueue(consuming, queue({ queue: "another" }));
    expect(refuseSize(over)).toMatchObject({ code: "too_many_subscriptions" });
  });

  it("has names and patterns within their bytes", () => {
    const half = LIMITS.subscriptionBytesMax / 4;
    const one = (pattern: string) => withSubscription(newSession(1, "s", CLAIMS), subscription({ pattern }));
    const fixed = "e".length + "ann".length;
    const fits = one("x".repeat(2 * half - fixed));
    expect(refuseSize(fits)).toBeNull();
    expect(refuseSize(one("x".repeat(2 * half - fixed + 1)))).toMatchObject({
      code: "too_many_subscriptions",
    });
  });

  it("replaces what it holds already, and leaves others alone", () => {
    let session = newSession(1, "s", CLAIMS);
    session = withSubscription(session, subscription({ after: 1 }));
    session = withSubscription(session, subscription({ pattern: "b" }));
    session = withSubscription(session, subscription({ exchange: "f" }));
    session = withSubscription(session, subscription({ after: 2 }));
    expect(session.subscriptions).toHaveLength(3);
    expect(subscriptionOf(session, "e", "a.#")?.after).toBe(2);
    session = withoutSubscription(session, "e", "a.#");
    expect(subscriptionOf(session, "e", "a.#")).toBeNull();
    expect(subscriptionOf(session, "f", "a.#")).not.toBeNull();

    session = withQueue(withQueue(session, queue()), queue({ credit: 1 }));
    expect(session.queues).toEqual([queue({ credit: 1 })]);
    expect(withoutQueue(session, "q").queues).toEqual([]);
    const watch = { exchange: "e", pattern: "a" };
    session = withWatch(withWatch(session, watch), { ...watch });
    expect(session.watches).toEqual([watch]);
    expect(withoutWatch(session, "f", "a").watches).toEqual([watch]);
    expect(withoutWatch(session, "e", "a").watches).toEqual([]);
  });
});

describe("the measure of an attachment", () => {
  const { seed, numRuns } = fuzzRun(300);

  it(`is never less than it is, and not much more (seed ${seed})`, () => {
    const leaf = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ maxLength: 300 }),
      fc.integer(),
      fc.double(),
      fc.maxSafeInteger(),
      fc.boolean(),
      fc.constantFrom(null, undefined, "x".repeat(127), "x".repeat(128), "é".repeat(200), "€".repeat(64)),
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.array(tie("tree"), { maxLength: 5 }),
        fc.dictionary(fc.string(), tie("tree"), { maxKeys: 5, noNullPrototype: true }),
      ),
    }));
    const check = fc.property(tree, (value) => {
      const real = serialize(value).length;
      const measured = attachmentBytes(value);
      expect(measured).toBeGreaterThanOrEqual(real);
      expect(measured).toBeLessThanOrEqual(6 * real + 32);
    });
    fc.assert(check, { seed, numRuns });
  });
});
