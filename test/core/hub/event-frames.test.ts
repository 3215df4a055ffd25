// Event frames: the two forms say the same, and an event becomes text once.
import * as fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { EventFrames, type FrameHead } from "../../../src/hub/event-frames.ts";
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import { readBatchHeader } from "../../../src/protocol/batch.ts";
import { decodeFrame } from "../../../src/protocol/frames.ts";
import { encodeBodyReference, eventToJson } from "../../../src/protocol/message-json.ts";
import { readRecord } from "../../../src/protocol/record.ts";
import { indexesOf } from "../../../src/protocol/runs.ts";
import type { EventJson, SessionServerFrame } from "../../../src/protocol/session-frames.ts";
import { wasmCodec } from "../../support/queue-harness.ts";
import { must } from "../../support/queue-lives.ts";
import { goodRecord } from "../../support/record-arbitrary.ts";
import { fuzzRun } from "../../support/seed.ts";

type Events = Extract<SessionServerFrame, { type: "events" }>;

const codec = wasmCodec();
const HEAD: FrameHead = { exchange: "e", pattern: "a.#", epoch: "25" };
const TIME = 1_790_000_000_000;

function framesOf(records: readonly MessageRecord[], offsets = (index: number): number => 10 + index) {
  const header = { origin: 77, firstSequence: offsets(0), timeMs: TIME };
  const batch = must(codec.encode(records, header, "broker"));
  return {
    batch,
    frames: new EventFrames(codec, { batch, table: must(codec.scan(batch, "broker")), offsets }),
  };
}

function records(...topics: string[]): MessageRecord[] {
  return topics.map((routingKey) => ({ routingKey, body: new TextEncoder().encode(`<${routingKey}>`) }));
}

/** What a client makes of a binary frame. */
function read(frame: Uint8Array): { head: Events; payload: Uint8Array; events: EventJson[] } {
  const { head, payload } = must(decodeFrame(frame.slice().buffer));
  const events = head as Events;
  const table = must(codec.scan(payload, "broker"));
  const offsets = [...indexesOf(events.offsets!)];
  expect(offsets).toHaveLength(table.count);
  return {
    head: events,
    payload,
    events: offsets.map((offset, i) =>
      eventToJson(readRecord(payload, table.offset(i)), offset, events.timeMs!),
    ),
  };
}

describe("a binary frame", () => {
  it("of a whole batch has its very bytes", () => {
    const { batch, frames } = framesOf(records("a", "b"));
    const { head, payload } = read(frames.binary(HEAD, [0, 1]));
    expect(payload).toEqual(batch);
    expect(head).toEqual({ type: "events", ...HEAD, timeMs: TIME, offsets: [[10, 2]] });
  });

  it("of some events has a batch of them, numbered and timed as they were", () => {
    const { frames } = framesOf(records("a", "b", "c", "d"));
    const { head, payload, events } = read(frames.binary({ ...HEAD, from: "recovered" }, [1, 3]));
    expect(head).toMatchObject({
      from: "recovered",
      offsets: [
        [11, 1],
        [13, 1],
      ],
    });
    expect(readBatchHeader(payload)).toMatchObject({ origin: 77, firstSequence: 11, timeMs: TIME, count: 2 });
    expect(events).toMatchObject([
      { routingKey: "b", offset: 11, timeMs: TIME },
      { routingKey: "d", offset: 13 },
    ]);
  });

  it("tells offsets that are not next to one another", () => {
    const { frames } = framesOf(records("a", "b", "c"), (index) => [3, 7, 8][index]!);
    expect(read(frames.binary(HEAD, [0, 1, 2])).head.offsets).toEqual([
      [3, 1],
      [7, 2],
    ]);
    expect([frames.offset(1), frames.topic(1)]).toEqual([7, "b"]);
  });
});

describe("a text frame", () => {
  it("is one JSON object, of the events asked for", () => {
    const { frames } = framesOf(records("a", "b", "c"));
    expect(JSON.parse(frames.json({ ...HEAD, from: "snapshot" }, [0, 2]))).toEqual({
      type: "events",
      ...HEAD,
      from: "snapshot",
      events: [
        { offset: 10, timeMs: TIME, routingKey: "a", body: "<a>" },
        { offset: 12, timeMs: TIME, routingKey: "c", body: "<c>" },
      ],
    });
  });

  it("makes text of each event once, however many frames it is in", () => {
    const { frames } = framesOf(records("a", "b", "c"));
    const stringify = vi.spyOn(JSON, "stringify");
    try {
      for (const indexes of [[0, 1], [0, 1], [0], [1]]) frames.json(HEAD, indexes);
      const told = stringify.mock.calls.filter(([value]) => Object.hasOwn(value as object, "offset"));
      expect(told).toHaveLength(2);
    } finally {
      stringify.mockRestore();
    }
  });
});

describe("the two forms", () => {
  const { seed, numRuns } = fuzzRun(100);
  it(`say the same of any events (seed ${seed})`, () => {
    // What the broker itself writes into a record has a form of its own.
    const reference = encodeBodyReference({ key: "n/q/0123", bytes: 9 });
    const record = goodRecord.map(({ death, ...rest }): MessageRecord => ({
      ...rest,
      ...(death === undefined ? {} : { death: '{"why":1}' }),
      ...(rest.bodyReference ? { body: reference } : {}),
    }));
    const some = fc.array(fc.tuple(record, fc.boolean()), { minLength: 1, maxLength: 8 });
    const check = fc.property(some, fc.nat(9), (all, gap) => {
      const { frames } = framesOf(
        all.map(([one]) => one),
        (index) => 1 + index * (1 + gap),
      );
      const chosen = all.flatMap(([, isChosen], i) => (isChosen ? [i] : []));
      if (chosen.length === 0) return;
      const { events } = JSON.parse(frames.json(HEAD, chosen)) as { events: EventJson[] };
      const binary = read(frames.binary(HEAD, chosen)).events;
      expect(events).toEqual(JSON.parse(JSON.stringify(binary)));
      expect(events.map(({ offset }) => offset)).toEqual(chosen.map((i) => 1 + i * (1 + gap)));
    });
    fc.assert(check, { seed, numRuns });
  });
});
