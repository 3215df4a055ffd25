// The queue's stores beside its messages: timers, lines of keys, identities, and work for elsewhere.
import { expect } from "vitest";
import { LANE_SPAN, laneOf, segmentId } from "../../src/queue/lane.ts";
import type { OutboxRow, QueueStores, RemoteRow, TaskRow } from "../../src/queue/stores.ts";

type Make = () => QueueStores;
export type Claim = (text: string, body: () => void) => void;

const DELAYED = laneOf(0, true);

export function timerTests(open: Make, claim: Claim): void {
  const delayed = (first: number, dueMs: number, lastDueMs = dueMs, lane = DELAYED) => ({
    segment: segmentId(lane, first),
    dueMs,
    lastDueMs,
    nextIndex: 0,
    remaining: 2,
  });

  claim("lists a lane's segments in the order of their next due time", () => {
    const { timers } = open();
    const other = laneOf(3, true);
    for (const row of [delayed(1, 30), delayed(3, 10), delayed(5, 10), delayed(7, 5, 5, other)])
      timers.putDelayed(row);
    expect(timers.dueDelayed(DELAYED, 30, 9)).toEqual([delayed(3, 10), delayed(5, 10), delayed(1, 30)]);
    expect(timers.dueDelayed(DELAYED, 29, 9)).toHaveLength(2);
    expect(timers.dueDelayed(DELAYED, 30, 1)).toEqual([delayed(3, 10)]);
    expect([timers.nextDelayedAfter(4), timers.nextDelayedAfter(10), timers.nextDelayedAfter(30)]).toEqual([
      5,
      30,
      null,
    ]);
    timers.putDelayed({ ...delayed(1, 40), nextIndex: 1, remaining: 1 });
    expect(timers.delayed(segmentId(DELAYED, 1))).toEqual({ ...delayed(1, 40), nextIndex: 1, remaining: 1 });
    timers.removeDelayed(segmentId(DELAYED, 1));
    expect(timers.delayed(segmentId(DELAYED, 1))).toBeNull();
  });

  claim("sums what is not due, and lists the segments that are due in part", () => {
    const { timers } = open();
    expect(timers.sumDelayed(0)).toEqual({ count: 0, partly: [] });
    for (const row of [delayed(1, 10, 20), delayed(3, 15, 15), delayed(5, 30, 90)]) timers.putDelayed(row);
    expect(timers.sumDelayed(9)).toEqual({ count: 6, partly: [] });
    expect(timers.sumDelayed(15)).toEqual({ count: 2, partly: [delayed(1, 10, 20)] });
    expect(timers.sumDelayed(99)).toEqual({ count: 0, partly: [] });
  });

  claim("keeps the earliest expiry of a segment", () => {
    const { timers } = open();
    expect(timers.nextExpiryMs()).toBeNull();
    timers.putExpiry(1, 20);
    timers.putExpiry(1, 30);
    timers.putExpiry(2, 25);
    expect([timers.nextExpiryMs(), timers.expired(24, 9), timers.expired(25, 9)]).toEqual([20, [1], [1, 2]]);
    timers.putExpiry(2, 10);
    expect(timers.expired(99, 1)).toEqual([2]);
    timers.removeExpiry(2);
    expect(timers.nextExpiryMs()).toBe(20);
  });
}

export function keyTests(open: Make, claim: Claim): void {
  claim(
    "keeps rows of each key's line, and tells the first, the last before a place, and those of a lane",
    () => {
      const { keys } = open();
      const row = (key: string, id: number, ...positions: number[]) => ({
        key,
        id,
        positions: Uint8Array.from(positions),
        isBitmap: false,
      });
      for (const one of [row("b", 9, 1), row("b", 4, 2), row("a", 7, 4), row("b", LANE_SPAN + 2, 5)])
        keys.putLine(one);
      keys.putLine(row("b", 4, 6));
      expect(keys.firstLine("b")).toEqual(row("b", 4, 6));
      expect(keys.firstLine("c")).toBeNull();
      expect([keys.lineAtOrBefore("b", 8, 0), keys.lineAtOrBefore("b", 8, 5)]).toEqual([
        row("b", 4, 6),
        null,
      ]);
      expect(keys.lineAtOrBefore("b", LANE_SPAN + 9, 0)).toEqual(row("b", LANE_SPAN + 2, 5));
      expect(keys.linesBetween("b", 4, 9).map(({ id }) => id)).toEqual([4]);
      expect([keys.linesBelow(3, 9), keys.linesBelow(5, 1).length]).toEqual([
        [row("b", LANE_SPAN + 2, 5)],
        1,
      ]);
      expect([keys.nextLineKey(null), keys.nextLineKey("a"), keys.nextLineKey("b")]).toEqual([
        "a",
        "b",
        null,
      ]);
      keys.removeLine("b", 4);
      expect(keys.firstLine("b")!.id).toBe(9);
    },
  );

  claim("remembers up to where a key was drained", () => {
    const { keys } = open();
    keys.putDrain("k", 5);
    keys.putDrain("k", 9);
    expect([keys.drain("k"), keys.drain("x")]).toEqual([9, null]);
    keys.removeDrain("k");
    expect(keys.drain("k")).toBeNull();
  });
}

export function identityTests(open: Make, claim: Claim): void {
  claim("remembers dedup ids until they are swept, the oldest first", () => {
    const { identities } = open();
    for (const [id, untilMs] of [
      ["a", 30],
      ["b", 10],
      ["c", 20],
    ] as const) {
      identities.putDedup(id, 7, untilMs);
    }
    identities.putDedup("a", 8, 40);
    expect(identities.dedup("a")).toEqual({ sequence: 8, untilMs: 40 });
    expect(identities.nextDedupMs()).toBe(10);
    expect([identities.removeDedupBefore(20, 1), identities.dedup("b")]).toEqual([1, null]);
    expect([identities.removeDedupBefore(20, 9), identities.removeDedupBefore(20, 9)]).toEqual([1, 0]);
    expect(identities.nextDedupMs()).toBe(40);
  });

  claim("gives a handle to the last message that took it, and takes it only from that one", () => {
    const { identities } = open();
    identities.putHandle("cancelKey", "k", 1, 100);
    identities.putHandle("id", "k", 2, 200);
    identities.putHandle("cancelKey", "k", 3, 300);
    identities.removeHandle("cancelKey", "k", 1);
    expect(identities.handle("cancelKey", "k")).toEqual({ sequence: 3, segment: 300 });
    expect(identities.handle("id", "k")).toEqual({ sequence: 2, segment: 200 });
    identities.removeHandle("cancelKey", "k", 3);
    expect(identities.handle("cancelKey", "k")).toBeNull();
  });

  claim("finds runs of ids at and below a number, and all that have it", () => {
    const { identities } = open();
    const run = (first: number, segment: number, sequence: number, count: number, origin = 7) => {
      const one = { origin, first, segment, sequence, count };
      identities.putIdRun(one);
      return one;
    };
    const [long, short, other] = [run(10, 100, 1, 50), run(20, 200, 60, 1), run(20, 300, 70, 5)];
    run(21, 400, 80, 9, 8);
    expect(identities.idRunAtOrBelow(7, 9)).toBeNull();
    expect(identities.idRunAtOrBelow(7, 19)).toEqual(long);
    expect(identities.idRunAtOrBelow(7, 99)).toEqual(other);
    expect(identities.idRunsWith(7, 20)).toEqual([other, short, long]);
    expect(identities.idRunsWith(7, 60)).toEqual([]);
    identities.removeIdRun(other);
    expect(identities.idRunsWith(7, 20)).toEqual([short, long]);
  });

  claim("remembers producers and moves from other queues", () => {
    const { identities } = open();
    identities.putProducer("p", "one", 10);
    identities.putProducer("p", "two", 20);
    identities.putProducer("r", "three", 30);
    identities.removeProducersBefore(30);
    expect([identities.producer("p"), identities.producer("r")]).toEqual([null, "three"]);
    expect(identities.inbound("q#1")).toEqual({ number: 0, taken: null });
    identities.putInbound("q#1", 4, 17);
    expect(identities.inbound("q#1")).toEqual({ number: 4, taken: 17 });
    identities.putInbound("q#1", 5, null);
    expect(identities.inbound("q#1")).toEqual({ number: 5, taken: null });
    expect(identities.inbound("q#2").number).toBe(0);
  });
}

function move(number: number, target: string, changes: Partial<OutboxRow> = {}): OutboxRow {
  return { number, target, count: 2, batch: Uint8Array.of(number), notBeforeMs: 10, tries: 0, ...changes };
}

export function workTests(open: Make, claim: Claim): void {
  claim("sends each target's moves in order, and holds up no other target", () => {
    const { work } = open();
    const numbers = (target: string, limit = 9, bytesMax = 99): number[] =>
      work.firstOutbox(target, limit, bytesMax).map(({ number }) => number);
    expect([numbers("a"), work.dueTargets(99, 9), work.nextOutboxMs(), work.outboxCount()]).toEqual([
      [],
      [],
      null,
      0,
    ]);
    for (const row of [move(1, "a"), move(2, "a"), move(3, "b"), move(4, "a")]) work.putOutbox(row);
    expect([work.outboxCount(), work.nextOutboxMs(), work.dueTargets(9, 9)]).toEqual([8, 10, []]);
    expect([work.dueTargets(10, 9), work.dueTargets(10, 1)]).toEqual([["a", "b"], ["a"]]);
    expect(work.firstOutbox("a", 1, 99)).toEqual([move(1, "a")]);
    expect([numbers("a"), numbers("a", 2), numbers("a", 9, 2), numbers("a", 9, 0)]).toEqual([
      [1, 2, 4],
      [1, 2],
      [1, 2],
      [1],
    ]);
    work.delayOutbox(1, 50, 1);
    expect([work.dueTargets(10, 9), work.nextOutboxMs()]).toEqual([["b"], 10]);
    expect([work.hasOutbox(3), work.hasOutbox(5)]).toEqual([true, false]);
    expect([work.removeOutbox(3), work.removeOutbox(3)]).toEqual([true, false]);
    expect([work.dueTargets(49, 9), work.nextOutboxMs()]).toEqual([[], 50]);
    expect(work.firstOutbox("a", 1, 99)).toEqual([move(1, "a", { notBeforeMs: 50, tries: 1 })]);
    work.removeOutboxTo("b", 9);
    work.removeOutboxTo("a", 2);
    expect([numbers("a"), work.dueTargets(10, 9)]).toEqual([[4], ["a"]]);
    work.removeOutboxTo("a", 4);
    expect([numbers("a"), work.nextOutboxMs(), work.outboxCount()]).toEqual([[], null, 0]);
  });

  claim("remembers tasks, running ones for ever and others for a while", () => {
    const { work } = open();
    const task: TaskRow = {
      task: 1,
      command: { filter: { ids: ["a"] }, dryRun: false },
      state: "running",
      segment: 0,
      index: 0,
      endSequence: 9,
      scanned: 0,
      matched: 0,
      moved: 0,
      nextMs: 5,
      startedMs: 1,
      total: 3,
    };
    work.putTask(task);
    work.putTask({ ...task, task: 2, state: "done" });
    for (let i = 3; i <= 110; i++) work.putTask({ ...task, task: i, state: "cancelled" });
    expect(work.runningTasks()).toEqual([task]);
    expect(work.task(2)).toBeNull();
    work.putTask({ ...task, state: "done", moved: 4 });
    expect(work.task(1)).toMatchObject({ state: "done", moved: 4 });
    expect(work.runningTasks()).toEqual([]);
  });

  claim("keeps the references of bodies to delete, each once", () => {
    const { work } = open();
    for (const reference of ["a", "b", "a"]) work.putGarbage(reference);
    expect([work.garbage(9).length, work.garbage(1).length]).toEqual([2, 1]);
    work.removeGarbage("a");
    expect(work.garbage(9)).toEqual(["b"]);
  });
}

export function remoteTests(open: Make, claim: Claim): void {
  claim("keeps consumers on hubs by their ids, in order, and all that they asked for", () => {
    const { remotes } = open();
    const row: RemoteRow = {
      id: 1_790_000_000_007,
      hub: "h1",
      session: 3,
      subject: "ann",
      name: "c",
      credit: 20,
      leaseMs: null,
      priority: -5,
      isExclusive: false,
      untilMs: 1_790_000_300_000,
    };
    const other: RemoteRow = { ...row, id: 5, leaseMs: 1_000, isExclusive: true };
    expect(remotes.all()).toEqual([]);
    remotes.put(row);
    remotes.put(other);
    remotes.put({ ...row, credit: 0 });
    expect(remotes.all()).toEqual([other, { ...row, credit: 0 }]);
    remotes.remove(5);
    remotes.remove(5);
    expect(remotes.all()).toHaveLength(1);
  });
}
