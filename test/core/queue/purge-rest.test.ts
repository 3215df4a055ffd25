// A purge that is to be followed by a rest.
import { describe, expect } from "vitest";
import type { PurgeOptions } from "../../../src/protocol/commands.ts";
import { refusePurge } from "../../../src/queue/deletion-rules.ts";
import type { QueueHarness } from "../../support/queue-harness.ts";
import { inBothLives } from "../../support/queue-lives.ts";

function refusal(q: QueueHarness, options: PurgeOptions) {
  return q.run((queue, nowMs) => refusePurge(queue, options, nowMs));
}

describe("a purge", () => {
  inBothLives(
    "is refused until the rest after the last one is over, and does not make that longer",
    (make) => {
      const q = make();
      expect(refusal(q, { restMs: 60_000 })).toBeNull();
      q.advance(59_999);
      expect(refusal(q, { restMs: 60_000 })).toMatchObject({
        code: "purged_recently",
        facts: { retryAfterMs: 1 },
      });
      q.advance(1);
      expect(refusal(q, { restMs: 60_000 })).toBeNull();
    },
  );

  inBothLives("that names no rest is always taken, and none is begun by it", (make) => {
    const q = make();
    for (let i = 0; i < 2; i++) expect(refusal(q, {})).toBeNull();
    expect(refusal(q, { restMs: 60_000 })).toBeNull();
    expect(refusal(q, {})).toBeNull();
  });
});
