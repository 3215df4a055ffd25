// What may be said of a queue, and what a queue of an earlier version has where it says nothing.
import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { QUEUE_DEFAULTS, withChanges, type QueueConfig } from "../../../src/protocol/queue-config.ts";
import {
  deadLetterQueue,
  refuseChanges,
  refuseConfig,
  refuseRedeclare,
  refuseSource,
} from "../../../src/queue/config-rules.ts";
import { isLastFailure } from "../../../src/queue/retry.ts";
import { migrate } from "../../../src/storage/migrations.ts";
import { QUEUE_MIGRATIONS } from "../../../src/storage/queue-schema.ts";
import { leaseOf, QueueHarness } from "../../support/queue-harness.ts";
import { bodies, drain, must, numbered, settleMessage } from "../../support/queue-lives.ts";

const configOf = (changes: Partial<QueueConfig>): QueueConfig => ({ ...QUEUE_DEFAULTS, ...changes });

describe("a configuration", () => {
  it.each<[Partial<QueueConfig>, boolean]>([
    [{ dedupByContent: true }, true],
    [{ dedupByContent: true, partitions: 2 }, false],
    [{ dedupByContent: true, partitions: 2, fifo: true }, false],
    [{ dedupByContent: true, partitions: 2, dedupScope: "key" }, false],
    [{ dedupByContent: true, partitions: 2, fifo: true, dedupScope: "key" }, true],
    [{ partitions: 2, dedupScope: "key" }, true],
  ])("%j goes together: %s", (changes, isGood) => {
    const refusal = {
      ok: false,
      code: "bad_request",
      detail: expect.stringMatching(/^dedupByContent: /) as string,
    };
    expect(refuseConfig(configOf(changes))).toEqual(isGood ? null : refusal);
    // By a change as well, whichever half of it comes last.
    for (const name of Object.keys(changes) as (keyof QueueConfig)[]) {
      if (name === "fifo") continue;
      const known = configOf({ ...changes, [name]: QUEUE_DEFAULTS[name] });
      const refused = refuseChanges(known, { [name]: changes[name] });
      expect(refused).toEqual(isGood ? null : refusal);
    }
  });

  it("has so many labels, and so much in them", () => {
    const many = (count: number, bytes: number) =>
      Object.fromEntries(numbered(count).map((i) => [i.padStart(3, "0"), "x".repeat(bytes)]));
    expect(refuseConfig(configOf({ labels: many(LIMITS.labelsMax, 1) }))).toBeNull();
    expect(refuseConfig(configOf({ labels: many(LIMITS.labelsMax + 1, 1) }))).toMatchObject({
      code: "bad_request",
    });
    // Four bytes are left.
    const full = many(4, LIMITS.labelsBytesMax / 4 - 4);
    expect(refuseConfig(configOf({ labels: { ...full, x: "yyy" } }))).toBeNull();
    expect(refuseConfig(configOf({ labels: { ...full, x: "éyy" } }))).toMatchObject({
      detail: expect.stringMatching(/^labels: /) as string,
    });
    expect(refuseChanges(configOf({ labels: full }), { labels: { x: "y".repeat(999) } })).toMatchObject({
      code: "bad_request",
    });
  });

  it("is changed field by field, and its labels label by label", () => {
    const known = configOf({ labels: { a: "1", b: "2" }, delayMs: 5 });
    expect(withChanges(known, { leaseMs: 7_000 })).toEqual({ ...known, leaseMs: 7_000 });
    expect(withChanges(known, { labels: { a: null, b: "3", c: "" } }).labels).toEqual({ b: "3", c: "" });
    expect(withChanges(known, { labels: { none: null } }).labels).toEqual(known.labels);
  });

  it("is the same, whatever the order of its labels", () => {
    const known = configOf({ labels: { a: "1", b: "2" }, required: ["dedupId"] });
    expect(refuseRedeclare(known, { ...known, labels: { b: "2", a: "1" } })).toBeNull();
    expect(refuseRedeclare(known, configOf({ labels: { a: "1" }, onExpiry: "drop" }))).toMatchObject({
      code: "queue_exists",
      detail: expect.stringMatching(/onExpiry, required, labels$/) as string,
    });
  });
});

describe("a dead-letter queue", () => {
  it("takes from all, or from those it names", () => {
    expect(refuseSource(configOf({}), "dlq", "q")).toBeNull();
    expect(refuseSource(configOf({ deadLetterFrom: ["p", "q"] }), "dlq", "q")).toBeNull();
    for (const deadLetterFrom of [[], ["p"]]) {
      expect(refuseSource(configOf({ deadLetterFrom }), "dlq", "q")).toEqual({
        ok: false,
        code: "dead_letter_refused",
        detail: 'deadLetter.queue: "dlq" takes none from "q"',
      });
    }
  });

  it("is where a queue's dead go, unless they stay or go to an exchange", () => {
    const targets = [null, { queue: "dlq", routingKey: "r" }, { exchange: "e" }];
    expect(targets.map((deadLetter) => deadLetterQueue(configOf({ deadLetter })))).toEqual([
      null,
      "dlq",
      null,
    ]);
  });
});

it("a message is dead with more failures than its queue allows, and never where it allows all", () => {
  const isDead = (maxFailures: number | null, failures: number) =>
    isLastFailure(configOf({ maxFailures }), failures);
  expect([isDead(0, 0), isDead(0, 1), isDead(5, 5), isDead(5, 6)]).toEqual([false, true, false, true]);
  expect([isDead(null, 0), isDead(null, 1_000_000)]).toEqual([false, false]);
});

it("a queue tells when its configuration was last changed, and when it was made if it never was", () => {
  const q = new QueueHarness();
  const createdMs = q.nowMs;
  q.nowMs += 5_000;
  expect(q.info()).toMatchObject({ createdMs, changedMs: createdMs });
  q.run((queue, changedMs) => queue.store({ config: configOf({ leaseMs: 0 }), changedMs }));
  expect(q.info()).toMatchObject({ createdMs, changedMs: createdMs + 5_000 });
});

/** As the version before these settings left it: without them, without a lease's own times, without a task's. */
function makeOld(q: QueueHarness): void {
  const { storage } = q.sql;
  const row = storage.exec<{ stored: string }>("SELECT stored FROM queue").one();
  const {
    config,
    changedMs: _,
    ...stored
  } = JSON.parse(row.stored) as {
    config: Partial<QueueConfig>;
    changedMs?: number;
  };
  for (const name of [
    "lastAttemptAlone",
    "deadLetterFrom",
    "onExpiry",
    "delayMs",
    "receiveWaitMs",
    "ackDelayMs",
    "oneDeliveryPerKey",
    "lateChanges",
    "dedupByContent",
    "dedupScope",
    "required",
    "partitions",
    "labels",
  ] as const)
    delete config[name];
  storage.exec("UPDATE queue SET stored = ?", JSON.stringify({ ...stored, config }));
  storage.exec("ALTER TABLE blocked DROP COLUMN form");
  for (const column of ["untils", "subject", "key"]) storage.exec(`ALTER TABLE lease DROP COLUMN ${column}`);
  storage.exec("ALTER TABLE remote DROP COLUMN subject");
  storage.exec("DROP TABLE id_run");
  storage.exec("DELETE FROM migration WHERE number >= 3");
  storage.exec("UPDATE task SET row = json_remove(row, '$.startedMs', '$.total')");
  q.evict();
}

it("a queue that an earlier version stored goes on with the defaults for what it lacks", () => {
  const q = new QueueHarness({ config: { maxFailures: 0, leaseMs: 5_000, fifo: true } });
  must(q.publish("dead", "dead2", "held", { text: "waits", orderingKey: "k", dedupId: "d" }));
  for (const message of q.take(2)) settleMessage(q, message, "reject");
  const [held] = q.take(1);
  must(
    q.run((queue, nowMs) =>
      queue.redrive({ filter: {}, dryRun: false, to: "elsewhere", ratePerSecond: 1 }, nowMs),
    ),
  );
  makeOld(q);
  migrate(q.sql.storage, QUEUE_MIGRATIONS);
  const { config, changedMs, createdMs } = q.info();
  expect(config).toEqual(configOf({ maxFailures: 0, leaseMs: 5_000, fifo: true }));
  expect(changedMs).toBe(createdMs);
  expect(q.run((queue) => queue.redrives(9))).toMatchObject([
    { task: 1, state: "running", moved: 1, startedMs: 0, total: 0, to: "elsewhere" },
  ]);
  expect(q.settle({ lease: leaseOf(held!), verdict: "extend", leaseMs: 9_000 })).toMatchObject([
    { settled: 1 },
  ]);
  q.advance(8_000);
  expect(settleMessage(q, held!, "ack").settled).toBe(1);
  expect(must(q.publish({ dedupId: "d" })).duplicates).toEqual([0]);
  must(q.publish("new"));
  expect(bodies(drain(q))).toEqual(["waits", "new"]);
  expect(q.run((queue) => queue.redrives(9))).toMatchObject([{ state: "done", moved: 2 }]);
});
