// A publish that is only wanted where someone consumes: what a request is.
import { describe, expect } from "vitest";
import type { PublishConfirm } from "../../../src/protocol/commands.ts";
import type { Result } from "../../../src/protocol/result.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, drain, inBothLives, must, sequencesOf } from "../../support/queue-lives.ts";

function ask(q: QueueHarness, text = "x", sequence?: number): Result<PublishConfirm> {
  const stamp = sequence === undefined ? {} : { producer: { id: "p", sequence } };
  const command = { batch: q.batch(text), needsConsumer: true, ...stamp };
  return q.run((queue, nowMs) => queue.publish([command], nowMs)[0]!);
}

describe("a publish that needs a consumer", () => {
  inBothLives("is refused where there is none, and others of its turn are not", (make) => {
    const q = make();
    const answers = q.run((queue, nowMs) =>
      queue.publish(
        [
          { batch: q.batch("a") },
          { batch: q.batch("b"), needsConsumer: true },
          { batch: q.batch("c"), needsConsumer: false },
        ],
        nowMs,
      ),
    );
    expect(answers[1]).toMatchObject({ ok: false, code: "no_responders" });
    expect([answers[0]!, answers[2]!].map(must).flatMap(sequencesOf)).toEqual([1, 2]);
    expect(bodies(drain(q))).toEqual(["a", "c"]);
  });

  inBothLives("is taken where a consumer is attached, even with its credit used up", (make) => {
    const q = make();
    const id = q.attach({ credit: 1 });
    must(ask(q));
    expect(q.dispatch()).toHaveLength(1);
    must(ask(q));
    expect(q.dispatch()).toEqual([]);
    q.detach(id);
    expect(ask(q)).toMatchObject({ ok: false, code: "no_responders" });
  });

  inBothLives("finds none in a consumer that drains, one in a consumer on a hub", (make) => {
    const q = make();
    q.attach({ isDraining: true });
    expect(ask(q)).toMatchObject({ ok: false, code: "no_responders" });
    const remote = { hub: "h1", session: 1, subject: "", name: "r", credit: 1 };
    must(q.run((queue, nowMs) => queue.attachRemote(remote, 50, nowMs)));
    must(ask(q));
    q.run((queue, nowMs) => queue.detachRemote(50, "released", nowMs));
    expect(ask(q)).toMatchObject({ ok: false, code: "no_responders" });
  });

  inBothLives("that was taken once is answered as it was, whoever has gone since", (make) => {
    const q = make();
    const id = q.attach();
    const first = must(ask(q, "x", 1));
    q.detach(id);
    expect(must(ask(q, "x", 1))).toMatchObject({ sequences: first.sequences, duplicates: [0] });
    expect(ask(q, "y", 2)).toMatchObject({ ok: false, code: "no_responders" });
  });
});
