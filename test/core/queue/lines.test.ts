// Lines of keys as they are stored: few rows however many keys and messages, and rows of earlier versions.
import { describe, expect, it } from "vitest";
import { laneOf, segmentId } from "../../../src/queue/lane.ts";
import { encodeRuns, lineOf, type Run } from "../../../src/queue/line-rows.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import { bodies, drain, must, settleMessage, takeOne } from "../../support/queue-lives.ts";

const config = { fifo: true } as const;
const PLAIN = laneOf(0, false);

describe("a key's line", () => {
  it("costs one row written for each busy key, however many segments its messages lie in, and none when they leave", () => {
    const q = new QueueHarness({ config });
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    for (let i = 0; i < 30; i++)
      must(q.publish(...keys.map((orderingKey) => ({ text: `${i}`, orderingKey }))));
    const { lease } = q.receive(20);
    const before = q.counted.rowsWritten;
    // All keys are busy: the cursor passes the 580 others.
    expect(q.receive(20).lease).toBe(0);
    expect(q.counted.rowsWritten - before).toBeLessThanOrEqual(keys.length + 1);
    q.settle({ lease, verdict: "ack" });
    expect(q.receive(20).lease).not.toBe(0);
    const lines = q.counted.value("SELECT count(*) AS value FROM blocked");
    expect(lines).toBe(keys.length);
  });

  it("goes on from segment to segment with no more rows read for each message than its segment was read", () => {
    const q = new QueueHarness({ config });
    const keys = Array.from({ length: 50 }, (_, i) => `k${i}`);
    for (let i = 0; i < 10; i++)
      must(q.publish(...keys.map((orderingKey) => ({ text: `${i}`, orderingKey }))));
    let { lease } = q.receive(50);
    expect(q.receive(50).lease).toBe(0);
    q.settle({ lease, verdict: "ack" });
    const before = q.counted.rowsRead;
    for (let i = 1; i < 10; i++) {
      lease = q.receive(50).lease;
      q.settle({ lease, verdict: "ack" });
    }
    // 450 messages in 9 segments, and 50 lines.
    expect(q.counted.rowsRead - before).toBeLessThan(200);
  });

  it("goes on in its order where an earlier version wrote it, a bit for each message of a segment", () => {
    const q = new QueueHarness({ config });
    must(q.publish(...["1", "2", "3"].map((text) => ({ text, orderingKey: "k" }))));
    const first = takeOne(q, "1");
    expect(q.receive(9).lease).toBe(0);
    const id = segmentId(PLAIN, 1);
    q.counted.run("UPDATE blocked SET segment = ?, positions = ?, form = 0", id, Uint8Array.of(0b110));
    q.evict();
    must(q.publish({ text: "4", orderingKey: "k" }));
    expect(q.receive(9).lease).toBe(0);
    settleMessage(q, first, "ack");
    expect(bodies(drain(q, 1))).toEqual(["2", "3", "4"]);
    expect(q.counted.value("SELECT count(*) AS value FROM blocked")).toBe(0);
  });

  it("is read from a bitmap as from runs", () => {
    const id = segmentId(PLAIN, 100);
    const runs: Run[] = [
      [100, 2],
      [105, 1],
      [109, 3],
    ];
    const bits = Uint8Array.of(0b0010_0011, 0b0000_1110);
    const row = { key: "k", id };
    expect(lineOf({ ...row, positions: bits, isBitmap: true }).runs).toEqual(runs);
    expect(lineOf({ ...row, positions: encodeRuns(100, runs), isBitmap: false }).runs).toEqual(runs);
  });
});
