// Calls: the correlation id that stands for a table of them, and what becomes of a reply.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatCorrelation, parseCorrelation, type Correlation } from "../../../src/hub/correlation.ts";
import { awayUntilMs, judgeReply, type Requester } from "../../../src/hub/replies.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { fuzzRun } from "../../support/seed.ts";

const { seed, numRuns } = fuzzRun(300);

describe("a correlation id", () => {
  it(`is read as it was written, and fits its field (seed ${seed})`, () => {
    const correlation = fc.record({
      format: fc.constantFrom("json" as const, "binary" as const),
      ref: fc.maxSafeNat(),
      deadlineMs: fc.maxSafeNat(),
    });
    const check = fc.property(correlation, (one: Correlation) => {
      const text = formatCorrelation(one);
      expect(parseCorrelation(text)).toEqual(one);
      expect(text.length).toBeLessThanOrEqual(LIMITS.textBytesMax);
    });
    fc.assert(check, { seed, numRuns });
  });

  it.each([
    "",
    "j",
    "j.",
    "j1",
    "j1.",
    "j.1",
    "1.1",
    "x1.1",
    "J1.1",
    "j1.1.1",
    "j1.1 ",
    " j1.1",
    "j1.1\n",
    "jA.1",
    "j-1.1",
    "j1e5.-1",
    "j1.zzzzzzzzzzz",
    "jzzzzzzzzzzz.1",
    "j111111111111.1",
    "j1.١",
    "__proto__",
    `j${"0".repeat(250)}.1`,
  ])("that nobody wrote (%j) is none", (text) => {
    expect(parseCorrelation(text)).toBeNull();
  });

  it(`in any words is none, or two numbers that can be trusted (seed ${seed})`, () => {
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: "binary" }),
      fc.stringMatching(/^[jbx][0-9a-zA-Z.]{0,14}\.[0-9a-z.]{0,13}$/),
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

describe("a reply", () => {
  const NOW = 1_000;
  const SECRET = "secret";
  const correlation: Correlation = { format: "json", ref: 7, deadlineMs: NOW };
  const nobody: Requester = { connected: null, away: null, heldBytes: 0 };
  const awayUntil = (untilMs: number, secret = SECRET) => ({ session: 1, secret, untilMs });

  function judge(requester: Partial<Requester>, changes: { correlationId?: string; bytes?: number } = {}) {
    const { correlationId = formatCorrelation(correlation), bytes = 10 } = changes;
    const command = { to: "", correlationId, batch: new Uint8Array(bytes) };
    return judgeReply(command, SECRET, { ...nobody, ...requester }, NOW);
  }

  it("to a session that is there is delivered, up to the call's last millisecond", () => {
    expect(judge({ connected: SECRET })).toEqual({ kind: "deliver", correlation });
    const late = formatCorrelation({ ...correlation, deadlineMs: NOW - 1 });
    expect(judge({ connected: SECRET }, { correlationId: late })).toMatchObject({
      kind: "late",
      refusal: { code: "requester_gone" },
    });
  });

  it("that is late for nobody is an orphan: only a session that is there, or away, can have asked", () => {
    const correlationId = formatCorrelation({ ...correlation, deadlineMs: NOW - 1 });
    const kinds = [
      { connected: SECRET },
      { away: awayUntil(NOW + 1) },
      {},
      { connected: "other" },
      { away: awayUntil(NOW + 1, "other") },
      { away: awayUntil(NOW) },
    ].map((requester) => judge(requester, { correlationId }).kind);
    expect(kinds).toEqual(["late", "late", "orphaned", "orphaned", "orphaned", "orphaned"]);
  });

  it("to an address whose secret is another's reaches nobody", () => {
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
    expect(judge({ connected: SECRET, away: awayUntil(NOW + 1) }).kind).toBe("deliver");
  });

  it("waits only within the bytes that are held for all", () => {
    const away = awayUntil(NOW + 1);
    const heldBytes = LIMITS.replyGraceBytesMax - 10;
    expect(judge({ away, heldBytes }).kind).toBe("hold");
    expect(judge({ away, heldBytes }, { bytes: 11 }).kind).toBe("orphaned");
  });

  it("to no call is orphaned, whoever is there", () => {
    expect(judge({ connected: SECRET }, { correlationId: "mine" }).kind).toBe("orphaned");
  });
});

describe("a session that was cut off", () => {
  it("is waited for while a reply may come, and a minute at most", () => {
    expect([awayUntilMs(0, 1_000), awayUntilMs(1_000, 1_000)]).toEqual([null, null]);
    expect(awayUntilMs(1_001, 1_000)).toBe(1_001);
    expect(awayUntilMs(10_000_000, 1_000)).toBe(1_000 + LIMITS.replyGraceMs);
  });
});
