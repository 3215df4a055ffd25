/**
 * What every implementation of the queue's stores must do. Imports nothing of Node, so that it runs in workerd too.
 * `make` gives stores over empty tables; `done` is called after each test.
 */
import { afterEach, describe, expect, it } from "vitest";
import { firstSequenceOf, LANE_SPAN, laneOf, segmentId } from "../../src/queue/lane.ts";
import { QUEUE_DEFAULTS } from "../../src/protocol/queue-config.ts";
import {
  RETURN_STATE,
  type LeaseRow,
  type QueueStores,
  type ReturnRow,
  type SegmentRow,
} from "../../src/queue/stores.ts";
import {
  type Claim,
  identityTests,
  keyTests,
  remoteTests,
  timerTests,
  workTests,
} from "./queue-stores-work.ts";

export interface MadeStores {
  readonly stores: QueueStores;
  readonly done?: () => void;
}

/** Runs a test's body where the stores may be used: at once, or inside an object. */
export type Within = (body: () => void) => void | Promise<void>;

type Make = () => QueueStores;

const HIGH = laneOf(31, false);
const PLAIN = laneOf(0, false);
const DELAYED = laneOf(0, true);

export function queueStoresContract(
  name: string,
  make: () => MadeStores,
  within: Within = (body) => body(),
): void {
  describe(`${name} as QueueStores`, () => {
    let made: MadeStores | null = null;
    afterEach(() => {
      made?.done?.();
      made = null;
    });
    const open: Make = () => {
      made = make();
      return made.stores;
    };
    const claim: Claim = (text, body) => it(text, () => within(body));
    queueTests(open, claim);
    segmentTests(open, claim);
    leaseTests(open, claim);
    returnTests(open, claim);
    timerTests(open, claim);
    keyTests(open, claim);
    identityTests(open, claim);
    workTests(open, claim);
    remoteTests(open, claim);
  });
}

function segment(lane: number, first: number, changes: Partial<SegmentRow> = {}): SegmentRow {
  const bytes = Uint8Array.of(first % 256, 0, 255);
  const head = { count: 3, timeMs: 1_790_000_000_000, ttlMs: 0, flags: 5, recordBytes: 30 };
  return { id: segmentId(lane, first), ...head, producers: null, bytes, ...changes };
}

function queueTests(open: Make, claim: Claim): void {
  const stored = {
    queue: "q",
    namespace: "n",
    origin: 2 ** 40 + 1,
    createdMs: 1_790_000_000_000,
    paused: false,
    allottedBytes: Number.MAX_SAFE_INTEGER,
    config: QUEUE_DEFAULTS,
  };

  claim("reads the queue it wrote, and null before", () => {
    const stores = open();
    expect(stores.readQueue()).toBeNull();
    stores.writeQueue(stored);
    stores.writeQueue({ ...stored, paused: true });
    expect(stores.readQueue()).toEqual({ ...stored, paused: true });
  });

  claim("forgets the queue and its messages when it is cleared", () => {
    const stores = open();
    stores.writeQueue(stored);
    stores.segments.insert(segment(PLAIN, 1));
    stores.leases.writeSnapshot(1, "{}");
    stores.identities.putDedup("a", 1, 10);
    stores.clear();
    expect(stores.readQueue()).toBeNull();
    expect(stores.segments.read(segmentId(PLAIN, 1))).toBeNull();
    expect(stores.leases.readAll()).toEqual({ leases: [], snapshot: null });
    expect(stores.identities.dedup("a")).toBeNull();
  });
}

function segmentTests(open: Make, claim: Claim): void {
  claim("reads a segment's bytes and numbers as they were written, at the far ends of its key", () => {
    const { segments } = open();
    for (const row of [
      segment(PLAIN, 1),
      segment(DELAYED, LANE_SPAN - 1, { ttlMs: 31_622_400_000, flags: 2 ** 15 - 1 }),
      segment(HIGH, 1, { bytes: new Uint8Array(1_900_000).fill(7) }),
    ]) {
      segments.insert(row);
      const { producers: _producers, bytes, ...head } = row;
      const read = segments.read(row.id)!;
      expect(read).toMatchObject(head);
      expect(read.bytes).toBeInstanceOf(Uint8Array);
      expect([read.bytes.length, read.bytes.every((byte, i) => byte === bytes[i])]).toEqual([
        bytes.length,
        true,
      ]);
    }
    expect(segments.read(segmentId(PLAIN, 2))).toBeNull();
  });

  claim("finds the segment at, below and above a place, within its bounds", () => {
    const { segments } = open();
    for (const row of [segment(HIGH, 5), segment(PLAIN, 10), segment(PLAIN, 20)]) segments.insert(row);
    const floor = PLAIN * LANE_SPAN;
    const ceiling = floor + LANE_SPAN;
    expect(segments.atOrBelow(segmentId(PLAIN, 10), floor)).toBe(segmentId(PLAIN, 10));
    expect(segments.atOrBelow(segmentId(PLAIN, 19), floor)).toBe(segmentId(PLAIN, 10));
    expect(segments.atOrBelow(segmentId(PLAIN, 9), floor)).toBeNull();
    expect(segments.atOrAbove(segmentId(PLAIN, 10), ceiling)).toBe(segmentId(PLAIN, 10));
    expect(segments.atOrAbove(segmentId(PLAIN, 11), ceiling)).toBe(segmentId(PLAIN, 20));
    expect(segments.atOrAbove(segmentId(PLAIN, 21), ceiling)).toBeNull();
    expect(segments.atOrAbove(segmentId(HIGH, 6), (HIGH + 1) * LANE_SPAN)).toBeNull();
  });

  claim("keeps the row of a segment that is gone out of sight, and writes the next one over it", () => {
    const stores = open();
    const { segments } = stores;
    for (const first of [10, 20, 30]) segments.insert(segment(PLAIN, first));
    segments.write();
    segments.vacate(segmentId(PLAIN, 20));
    const floor = segmentId(PLAIN, 0);
    const ceiling = segmentId(PLAIN + 1, 0);
    const ids = (): number[] => segments.heads(floor, ceiling, 9).map(({ id }) => firstSequenceOf(id));
    expect(segments.read(segmentId(PLAIN, 20))).toBeNull();
    expect(segments.atOrBelow(segmentId(PLAIN, 25), floor)).toBeNull();
    expect(segments.atOrAbove(segmentId(PLAIN, 11), ceiling)).toBe(segmentId(PLAIN, 30));
    expect(ids()).toEqual([10, 30]);
    expect(segments.alive([10, 20, 30].map((first) => segmentId(PLAIN, first))).size).toBe(2);
    segments.insert(segment(PLAIN, 40));
    expect(ids()).toEqual([10, 30, 40]);
    segments.write();
    expect(segments.vacant.size).toBe(0);
    expect(ids()).toEqual([10, 30, 40]);
    // After a wake it is known by the list alone, which may name rows that were written over since.
    segments.vacate(segmentId(PLAIN, 10));
    const listed = [...segments.vacant, segmentId(PLAIN, 20)];
    stores.forget();
    segments.setVacant(listed);
    expect([...segments.vacant]).toEqual([segmentId(PLAIN, 10)]);
    expect(ids()).toEqual([30, 40]);
    segments.removeVacant();
    expect(segments.vacant.size).toBe(0);
    expect(ids()).toEqual([30, 40]);
  });

  claim("keeps a lease in the row of a segment that is not written yet", () => {
    const { segments } = open();
    segments.insert(segment(PLAIN, 10, { producers: '{"p":1}' }));
    const { count } = segment(PLAIN, 10);
    expect(segments.place(segmentId(PLAIN, 10), count - 1, '{"lease":6}')).toBe(false);
    expect(segments.place(segmentId(PLAIN, 10), count, '{"lease":7}')).toBe(true);
    segments.write();
    expect(segments.place(segmentId(PLAIN, 10), count, '{"lease":8}')).toBe(false);
    expect(segments.heads(segmentId(PLAIN, 10), segmentId(PLAIN, 11), 1)).toMatchObject([
      { producers: '{"p":1}', lease: '{"lease":7}' },
    ]);
    segments.insert(segment(PLAIN, 20));
    segments.write();
    expect(segments.heads(segmentId(PLAIN, 20), segmentId(PLAIN, 21), 1)).toMatchObject([
      { producers: null, lease: null },
    ]);
  });

  claim("lists heads in order, bounded, with the producers and without the bytes", () => {
    const { segments } = open();
    for (const first of [30, 10, 20]) segments.insert(segment(PLAIN, first, { producers: `{"p":${first}}` }));
    const ceiling = (PLAIN + 1) * LANE_SPAN;
    const heads = segments.heads(segmentId(PLAIN, 10), ceiling, 2);
    expect(heads.map(({ id, producers }) => [id, producers])).toEqual([
      [segmentId(PLAIN, 10), '{"p":10}'],
      [segmentId(PLAIN, 20), '{"p":20}'],
    ]);
    expect(heads[0]).not.toHaveProperty("bytes");
    expect(segments.heads(segmentId(PLAIN, 11), segmentId(PLAIN, 30), 9)).toHaveLength(1);
    segments.remove(segmentId(PLAIN, 10));
    expect(segments.heads(0, ceiling, 9)).toHaveLength(2);
  });

  claim("keeps the newest progress of a segment apart from it", () => {
    const { segments } = open();
    expect(segments.progress(7)).toBeNull();
    segments.writeProgress(7, { settled: Uint8Array.of(1, 2), settledBytes: 10 });
    segments.writeProgress(7, { settled: Uint8Array.of(3, 2), settledBytes: 20 });
    expect(segments.progress(7)).toEqual({ settled: Uint8Array.of(3, 2), settledBytes: 20 });
    segments.removeProgress(7);
    expect(segments.progress(7)).toBeNull();
  });
}

function leaseTests(open: Make, claim: Claim): void {
  const lease: LeaseRow = {
    slot: 1,
    lease: 2 ** 52,
    consumer: "c",
    consumerId: 1_790_000_000_000,
    attemptId: null,
    grantedMs: 1,
    untilMs: 2,
    untils: null,
    runs: "[]",
    outcomes: null,
    subject: "ann",
    key: "k3y",
  };

  claim("reads every slot and the newest snapshot, whichever row carries it", () => {
    const { leases } = open();
    expect(leases.readAll()).toEqual({ leases: [], snapshot: null });
    const second = { ...lease, slot: 2, attemptId: "a", outcomes: Uint8Array.of(0, 1, 4) };
    leases.write(lease, 3, "three");
    leases.write(second, 4, "four");
    expect(leases.readAll()).toEqual({ leases: [lease, second], snapshot: "four" });
    leases.writeSnapshot(5, "five");
    expect(leases.readAll()).toEqual({ leases: [lease, second], snapshot: "five" });
    leases.write({ ...lease, lease: 9, consumer: "d" }, 6, "six");
    expect(leases.readAll().snapshot).toBe("six");
    expect(leases.readAll().leases[0]).toMatchObject({ slot: 1, lease: 9, consumer: "d" });
  });

  claim("tells versions by number and not as text", () => {
    const { leases } = open();
    leases.write(lease, 9, "nine");
    leases.writeSnapshot(10, "ten");
    expect(leases.readAll().snapshot).toBe("ten");
  });
}

function returned(sequence: number, changes: Partial<ReturnRow> = {}): ReturnRow {
  return {
    sequence,
    segment: segmentId(PLAIN, 1),
    index: sequence - 1,
    priority: 0,
    rankMs: 1_000,
    state: RETURN_STATE.ready,
    availableMs: 0,
    attempts: 1,
    failures: 0,
    firstSentMs: 1_790_000_000_000,
    redrives: 0,
    key: null,
    log: [],
    death: null,
    ...changes,
  };
}

function sequences(rows: readonly ReturnRow[]): number[] {
  return rows.map(({ sequence }) => sequence);
}

function returnTests(open: Make, claim: Claim): void {
  claim("reads, replaces and removes a row that came back", () => {
    const { returns } = open();
    const log = [{ attempt: 1, consumer: "ä", atMs: 5, outcome: "reject", error: "€" }] as const;
    const row = returned(3, { key: "k", log, attempts: 2, failures: 1, redrives: 4, priority: 31 });
    returns.put(returned(3));
    returns.put(row);
    expect(returns.get(3)).toEqual(row);
    returns.remove(3);
    expect(returns.get(3)).toBeNull();
  });

  claim("lists what is ready of a priority by rank, then sequence", () => {
    const { returns } = open();
    for (const row of [
      returned(5, { rankMs: 2_000 }),
      returned(9),
      returned(2),
      returned(1, { state: RETURN_STATE.waiting }),
      returned(4, { priority: 7 }),
    ]) {
      returns.put(row);
    }
    const all = returns.ready(0, null, 9);
    expect(sequences(all)).toEqual([2, 9, 5]);
    expect(sequences(returns.ready(0, null, 2))).toEqual([2, 9]);
    expect(sequences(returns.ready(0, all[0]!, 9))).toEqual([9, 5]);
    expect(sequences(returns.ready(7, null, 9))).toEqual([4]);
  });

  claim("lists what waits when its time has come, and tells the next time", () => {
    const { returns } = open();
    expect(returns.nextAvailableMs()).toBeNull();
    for (const [sequence, availableMs] of [
      [1, 30],
      [2, 10],
      [3, 20],
    ] as const) {
      returns.put(returned(sequence, { state: RETURN_STATE.waiting, availableMs }));
    }
    returns.put(returned(4, { availableMs: 5 }));
    expect(returns.nextAvailableMs()).toBe(10);
    expect(returns.due(9, 9)).toEqual([]);
    expect(returns.due(20, 9).map(({ sequence }) => sequence)).toEqual([2, 3]);
    expect(returns.due(99, 1).map(({ sequence }) => sequence)).toEqual([2]);
  });

  claim("pages through each state by sequence", () => {
    const { returns } = open();
    let sequence = 0;
    for (const state of Object.values(RETURN_STATE)) {
      for (let i = 0; i < 3; i++) returns.put(returned(++sequence, { state }));
    }
    for (const state of Object.values(RETURN_STATE)) {
      const first = returns.inState(state, 0, 2);
      const rest = returns.inState(state, first.at(-1)!.sequence, 9);
      expect([...first, ...rest].map((row) => row.state)).toEqual([state, state, state]);
      expect(rest).toHaveLength(1);
    }
    expect(returns.between(2, 4).map((row) => row.sequence)).toEqual([2, 3, 4]);
  });

  claim("tells a key that is held back from one that is with a consumer", () => {
    const { returns } = open();
    returns.put(returned(1, { key: "a", state: RETURN_STATE.leased }));
    expect(returns.hasKey("a")).toBe(false);
    returns.put(returned(2, { key: "a", state: RETURN_STATE.parked }));
    returns.put(returned(3, { key: "b", state: RETURN_STATE.waiting }));
    expect([returns.hasKey("a"), returns.hasKey("b"), returns.hasKey("c")]).toEqual([true, true, false]);
    returns.put(returned(4, { key: "a", rankMs: 5_000, state: RETURN_STATE.ready }));
    returns.put(returned(5, { key: "a", rankMs: 9_000, priority: 3, state: RETURN_STATE.ready }));
    expect([returns.sequencesOfKey("a", 1), returns.sequencesOfKey("c", 1)]).toEqual([[5], []]);
    returns.remove(5);
    expect(returns.sequencesOfKey("a", 1)).toEqual([2]);
    expect(returns.parkedOf("a").map(({ sequence }) => sequence)).toEqual([2]);
    expect(returns.parkedOf("b")).toEqual([]);
  });
}
