// Messages that bring their ids from elsewhere are found by them, and cost no row each.
import { describe, expect, it } from "vitest";
import { messageId, numbersOfId } from "../../../src/protocol/batch.ts";
import { QueueHarness } from "../../support/queue-harness.ts";
import { drain, inBothLives, must } from "../../support/queue-lives.ts";

const ELSEWHERE = 77;

function arrive(q: QueueHarness, number: number, sequences: readonly number[], more: object = {}): void {
  const records = sequences.map((sequence) => ({
    id: messageId(ELSEWHERE, sequence),
    timeMs: 1,
    body: new TextEncoder().encode(`${sequence}`),
    ...more,
  }));
  const batch = must(q.codec.encode(records, { origin: 0, firstSequence: 0, timeMs: 0 }, "broker"));
  must(q.run((queue, nowMs) => queue.acceptMoves("from", [{ number, batch }], nowMs)));
}

function bodyOf(q: QueueHarness, sequence: number): string | null {
  const view = q.run((queue, nowMs) => queue.find({ id: messageId(ELSEWHERE, sequence) }, nowMs));
  return view.ok ? new TextDecoder().decode(view.value.body) : null;
}

function rows(q: QueueHarness, table: string): number {
  return q.sql.storage.exec<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).one().n;
}

const hundred = (first: number): number[] => Array.from({ length: 100 }, (_, i) => first + i);

describe("a message with an id from elsewhere", () => {
  inBothLives("is found by it until it is settled, wherever it stands among others", (make) => {
    const q = make();
    arrive(q, 1, [...hundred(1_000), 5, 7, 8, 2_000]);
    arrive(q, 2, [6, 1_100]);
    for (const sequence of [1_000, 1_042, 1_099, 1_100, 5, 6, 7, 8, 2_000]) {
      expect(bodyOf(q, sequence)).toBe(`${sequence}`);
    }
    for (const sequence of [4, 9, 999, 1_101, 1_999, 2_001]) expect(bodyOf(q, sequence)).toBeNull();
    must(q.run((queue) => queue.cancel({ id: messageId(ELSEWHERE, 1_042) })));
    expect([bodyOf(q, 1_041), bodyOf(q, 1_042), bodyOf(q, 1_043)]).toEqual(["1041", null, "1043"]);
  });

  inBothLives("leaves no row when its segment is gone, drained or purged", (make) => {
    const q = make();
    arrive(q, 1, [...hundred(1_000), 3, 9]);
    drain(q, 200);
    arrive(q, 2, hundred(2_000));
    q.run((queue) => queue.purge({}));
    expect([rows(q, "segment"), rows(q, "id_run"), rows(q, "handle")]).toEqual([0, 0, 0]);
  });

  inBothLives("that came a second time is found where it lies now", (make) => {
    const q = make();
    arrive(q, 1, hundred(1_000));
    for (const number of [2, 3]) {
      must(q.run((queue) => queue.cancel({ id: messageId(ELSEWHERE, 1_050) })));
      expect(bodyOf(q, 1_050)).toBeNull();
      arrive(q, number, [1_050]);
      expect([bodyOf(q, 1_050), bodyOf(q, 1_051), bodyOf(q, 1_000)]).toEqual(["1050", "1051", "1000"]);
    }
    arrive(q, 4, [1_040, 1_041], { priority: 1 });
    expect(bodyOf(q, 1_060)).toBe("1060");
  });

  it("costs a row for each run, and not for each message", () => {
    const q = new QueueHarness();
    const before = q.counted.rowsWritten;
    arrive(q, 1, hundred(1_000));
    // Segment, run, sender.
    expect(q.counted.rowsWritten - before).toBeLessThanOrEqual(4);
    expect([rows(q, "id_run"), rows(q, "handle")]).toEqual([1, 0]);
  });

  inBothLives("is found where an earlier version noted it", (make) => {
    const q = make();
    arrive(q, 1, [1_000]);
    const { storage } = q.sql;
    storage.exec(
      "INSERT INTO handle SELECT 'id', ?, sequence, segment FROM id_run",
      messageId(ELSEWHERE, 1_000),
    );
    storage.exec("DELETE FROM id_run");
    q.evict();
    expect(bodyOf(q, 1_000)).toBe("1000");
    drain(q);
    expect([bodyOf(q, 1_000), rows(q, "handle")]).toEqual([null, 0]);
  });
});

describe("an id", () => {
  it.each([
    ["1-1", { origin: 1, sequence: 1 }],
    ["zik0zj-zik0zk", { origin: 2147483647, sequence: 2147483648 }],
    ["01-1", null],
    ["1-01", null],
    ["1", null],
    ["1-2-3", null],
    ["A-1", null],
    ["zzzzzzzzzzz-1", null],
  ])("%s is of %o", (id, numbers) => {
    expect(numbersOfId(id)).toEqual(numbers);
  });
});
