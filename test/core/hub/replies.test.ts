// Calls: the correlation id that stands for a table of them, and what becomes of a reply.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { awayUntilMs, judgeReply, type Requester } from "../../../src/hub/replies.ts";
import { Seals } from "../../../src/hub/seals.ts";
import { formatCorrelation, parseCorrelation, type Call } from "../../../src/protocol/correlation.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { fuzzRun } from "../../support/seed.ts";

const { seed, numRuns } = fuzzRun(300);
const PROOF = "0123456789abcdef01234567";

describe("a correlation id", () => {
  it(`is read as it was written, and fits its field (seed ${seed})`, () => {
    const correlation = fc.record({
      format: fc.constantFrom("json" as const, "binary" as const),
      ref: fc.maxSafeNat(),
      deadlineMs: fc.maxSafeNat(),
      proof: fc.constant(PROOF),
      queue: fc.constantFrom("q", "a.b.c", "x".repeat(128)),
    });
    const check = fc.property(correlation, (one) => {
      const text = formatCorrelation(one);
      expect(parseCorrelation(text)).toEqual(one);
      expect(text.length).toBeLessThanOrEqual(LIMITS.textBytesMax);
    });
    fc.assert(check, { seed, numRuns });
  });

  it.each([
    "",
    "j",
    `j.1.${PROOF}.q`,
    `j1..${PROOF}.q`,
    `j1.1.${PROOF}`,
    `j1.1.${PROOF}.`,
    `j1.1.${PROOF}.a b`,
    `j1.1.${PROOF}.q\n`,
    `j1.1.${PROOF}.${"x".repeat(129)}`,
    "j1.1.q",
    "j1.1",
    `j1.1.${PROOF.slice(1)}.q`,
    `j1.1.${PROOF}0.q`,
    `j1.1.${PROOF.toUpperCase()}.q`,
    `x1.1.${PROOF}.q`,
    `J1.1.${PROOF}.q`,
    ` j1.1.${PROOF}.q`,
    `jA.1.${PROOF}.q`,
    `j-1.1.${PROOF}.q`,
    `j1e5.-1.${PROOF}.q`,
    `j1.zzzzzzzzzzz.${PROOF}.q`,
    `jzzzzzzzzzzz.1.${PROOF}.q`,
    `j111111111111.1.${PROOF}.q`,
    `j1.١.${PROOF}.q`,
    "__proto__",
    `j${"0".repeat(250)}.1.${PROOF}.q`,
  ])("that nobody wrote (%j) is none", (text) => {
    expect(parseCorrelation(text)).toBeNull();
  });

  it(`in any words is none, or two numbers that can be trusted (seed ${seed})`, () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: "binary" }),
      fc.stringMatching(/^[jbx][0-9a-zA-Z.]{0,14}\.[0-9a-z.]{0,13}\.[0-9a-f]{24}\.[a-z.]{0,9}$/),
    );
    const check = fc.property(text, (one) => {
      const read = parseCorrelation(one);
      if (read === null) return;
      expect(Number.isSafeInteger(read.ref) && read.ref >= 0).toBe(true);
      expect(Number.isSafeInteger(read.deadlineMs) && read.deadlineMs >= 0).toBe(true);
      expect(parseCorrelation(formatCorrelation(read))).toEqual(read);
    });
    fc.assert(check, { seed, numRuns });
  });
});

describe("what a hub seals", () => {
  const seals = new Seals(new Uint8Array(32).fill(1));
  const inbox = { session: 5, tag: "0123456789a" };
  const call: Call = { format: "json", ref: 1, deadlineMs: 2, queue: "q" };

  it("resumes one session for one subject, and no other hub knows it", () => {
    const secret = seals.resumeSecret(5, "ann");
    expect(secret).toMatch(/^[0-9a-f]{32}$/);
    expect(seals.mayResume(secret, 5, "ann")).toBe(true);
    const [first = ""] = secret;
    const wrong = [secret.slice(1), `${secret}0`, `${first === "0" ? "1" : "0"}${secret.slice(1)}`, ""];
    expect(wrong.map((one) => seals.mayResume(one, 5, "ann"))).toEqual(wrong.map(() => false));
    expect([seals.mayResume(secret, 6, "ann"), seals.mayResume(secret, 5, "bob")]).toEqual([false, false]);
    expect(new Seals(new Uint8Array(32).fill(2)).mayResume(secret, 5, "ann")).toBe(false);
  });

  it("proves one call of one inbox: with anything else in it, it proves nothing", () => {
    const proof = seals.proofOf(call, inbox);
    expect(seals.isProven({ ...call, proof }, inbox)).toBe(true);
    const others: Call[] = [
      { ...call, format: "binary" },
      { ...call, ref: 2 },
      { ...call, deadlineMs: 3 },
      { ...call, queue: "p" },
    ];
    for (const other of others) expect(seals.isProven({ ...other, proof }, inbox)).toBe(false);
    expect(seals.isProven({ ...call, proof }, { ...inbox, session: 6 })).toBe(false);
    expect(seals.isProven({ ...call, proof }, { ...inbox, tag: "0123456789b" })).toBe(false);
  });
});

describe("a reply", () => {
  const NOW = 1_000;
  const TAG = "0123456789a";
  const inbox = { hub: "0", session: 1, tag: TAG };
  const seals = new Seals(new Uint8Array(32));
  const call: Call = { format: "json", ref: 7, deadlineMs: NOW, queue: "q" };
  const nobody: Requester = { connected: null, away: null, heldBytes: 0 };
  const awayUntil = (untilMs: number, tag = TAG) => ({ session: 1, tag, untilMs });
  const idOf = (changes: Partial<Call> = {}): string => {
    const one = { ...call, ...changes };
    return formatCorrelation({ ...one, proof: seals.proofOf(one, inbox) });
  };

  function judge(requester: Partial<Requester>, changes: { correlationId?: string; bytes?: number } = {}) {
    const { correlationId = idOf(), bytes = 10 } = changes;
    const command = { to: "", correlationId, batch: new Uint8Array(bytes) };
    return judgeReply(command, inbox, { ...nobody, ...requester }, seals, NOW);
  }

  it("to a session that is there is delivered, up to the call's last millisecond", () => {
    expect(judge({ connected: TAG })).toMatchObject({ kind: "deliver", correlation: call });
    expect(judge({ connected: TAG }, { correlationId: idOf({ deadlineMs: NOW - 1 }) })).toMatchObject({
      kind: "late",
      refusal: { code: "requester_gone" },
    });
  });

  it("that is late for nobody is an orphan: only a session that is there, or away, can have asked", () => {
    const correlationId = idOf({ deadlineMs: NOW - 1 });
    const kinds = [
      { connected: TAG },
      { away: awayUntil(NOW + 1) },
      {},
      { connected: "other" },
      { away: awayUntil(NOW + 1, "other") },
      { away: awayUntil(NOW) },
    ].map((requester) => judge(requester, { correlationId }).kind);
    expect(kinds).toEqual(["late", "late", "orphaned", "orphaned", "orphaned", "orphaned"]);
  });

  it("to an address whose tag is another's reaches nobody", () => {
    expect(judge({ connected: "other" }).kind).toBe("orphaned");
    expect(judge({ away: awayUntil(NOW + 1, "other") }).kind).toBe("orphaned");
  });

  it("to a session that was cut off waits for it, as long as it is waited for", () => {
    expect(judge({ away: awayUntil(NOW + 1) })).toEqual({ kind: "hold" });
    expect(judge({ away: awayUntil(NOW) })).toMatchObject({
      kind: "orphaned",
      refusal: { code: "requester_gone" },
    });
    expect(judge({}).kind).toBe("orphaned");
  });

  it("to one that came back is delivered at once", () => {
    expect(judge({ connected: TAG, away: awayUntil(NOW + 1) }).kind).toBe("deliver");
  });

  it("waits only within the bytes that are held for all", () => {
    const away = awayUntil(NOW + 1);
    const heldBytes = LIMITS.replyGraceBytesMax - 10;
    expect(judge({ away, heldBytes }).kind).toBe("hold");
    expect(judge({ away, heldBytes }, { bytes: 11 }).kind).toBe("orphaned");
  });

  it("to no call, or to another call than its proof is of, is forged, whoever is there or away", () => {
    const forged = idOf().replace(/^j7/, "j8");
    for (const requester of [{ connected: TAG }, { away: awayUntil(NOW + 1) }, {}]) {
      for (const correlationId of ["mine", forged, idOf().replace(/q$/, "p")]) {
        expect(judge(requester, { correlationId })).toMatchObject({
          kind: "forged",
          refusal: { code: "requester_gone" },
        });
      }
    }
  });
});

describe("a session that was cut off", () => {
  it("is waited for while a reply may come, and a minute at most", () => {
    expect([awayUntilMs(0, 1_000), awayUntilMs(1_000, 1_000)]).toEqual([null, null]);
    expect(awayUntilMs(1_001, 1_000)).toBe(1_001);
    expect(awayUntilMs(10_000_000, 1_000)).toBe(1_000 + LIMITS.replyGraceMs);
  });
});
