// Who may settle a delivery: the subject it was leased to, and who shows the lease's key. Lease ids prove nothing.
import { describe, expect, it } from "vitest";
import { parseReceipt } from "../../../src/protocol/message-json.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import { inBothLives } from "../../support/queue-lives.ts";

function received(q: QueueHarness, subject: string): { lease: number; key: string } {
  const answer = q.run((queue, nowMs) => queue.receive({ consumer: "c", max: 10, subject }, nowMs));
  if (!answer.ok) throw new Error(answer.detail);
  return { lease: answer.value.lease, key: answer.value.key! };
}

describe("a lease", () => {
  for (const verdict of ["ack", "nack", "reject", "extend"] as const) {
    inBothLives(`is not there for another subject's ${verdict}, and does as its own subject says`, (make) => {
      const q = make();
      q.publish("x", "y");
      const { lease } = received(q, "ann");
      for (const subject of ["bob", "", undefined]) {
        const who = subject === undefined ? {} : { subject };
        const [guessed] = q.settle({ lease, verdict, ...who });
        expect(guessed).toMatchObject({ settled: 0, refused: [{ code: "lease_lost" }] });
      }
      expect(q.info().counts).toMatchObject({ leased: 2 });
      expect(q.settle({ lease, verdict, subject: "ann" })).toMatchObject([{ settled: 2, refused: [] }]);
    });
  }

  inBothLives("is settled by whoever was handed its receipt", (make) => {
    const q = make();
    q.publish("x");
    const [message] = q.take(1);
    const { lease, key } = parseReceipt(message!.receipt)!;
    expect(q.settle({ lease, key: "guessed0000000", verdict: "ack", subject: "bob" })).toMatchObject([
      { settled: 0 },
    ]);
    expect(q.settle({ lease, key: key!, verdict: "ack", subject: "bob" })).toMatchObject([{ settled: 1 }]);
    // And again, as a client repeats what it heard no answer to.
    expect(q.settle({ lease, key: key!, verdict: "ack", subject: "bob" })).toMatchObject([{ settled: 1 }]);
  });

  inBothLives("of a consumer belongs to the consumer's subject", (make) => {
    const q = make();
    q.attach({ subject: "ann" });
    q.publish("x");
    const { lease } = q.dispatch()[0]!.delivery;
    expect(q.settle({ lease, verdict: "ack", subject: "bob" })).toMatchObject([{ settled: 0 }]);
    expect(q.settle({ lease, verdict: "ack", subject: "ann" })).toMatchObject([{ settled: 1 }]);
  });

  it("has a key of at least 64 random bits", () => {
    let drawn = 0;
    const draws = [0.1, 0.7, 0.3, 0.9, 0.2];
    const q = new QueueHarness({ random: () => draws[drawn++ % draws.length]! });
    q.publish("x", "y");
    const first = received(q, "ann");
    q.settle({ lease: first.lease, verdict: "nack", delayMs: 0, subject: "ann" });
    const second = received(q, "ann");
    expect(second.key).not.toBe(first.key);
    // Three draws of 24 bits each, beside the one in the id.
    expect(first.key).toMatch(/^[0-9a-z]{15}$/);
  });
});
