// What counts as an attempt, what as a failure, and how long a message waits after each.
import { describe, expect, it } from "vitest";
import type { Verdict } from "../../../src/protocol/commands.ts";
import type { RetryPolicy } from "../../../src/protocol/queue-config.ts";
import { leaseOf, QueueHarness } from "../../support/queue-harness.ts";
import { bodies, drain, inBothLives, settleMessage, takeOne } from "../../support/queue-lives.ts";

const NONE = { kind: "fixed", baseMs: 0, maxMs: 0, jitter: 0 } as const;
const config = { leaseMs: 5_000, retry: NONE, nackDelayMs: 0, maxFailures: 3 };

function viewOf(q: QueueHarness, id: string): { attempts: number; failures: number; state: string } {
  const found = q.run((queue, nowMs) => queue.find({ id }, nowMs));
  if (!found.ok) throw new Error(found.code);
  const { attempts, failures, state } = found.value;
  return { attempts, failures, state };
}

/** Ways for a delivery to end, and what each adds to the message's counts. */
const ENDINGS: readonly {
  name: string;
  failures: number;
  state: string;
  logged: string;
  end: (q: QueueHarness) => void;
}[] = [
  { name: "a nack", failures: 0, state: "ready", logged: "nack", end: (q) => end(q, "nack") },
  { name: "a reject", failures: 1, state: "ready", logged: "reject", end: (q) => end(q, "reject") },
  {
    name: "a reject for good",
    failures: 1,
    state: "dead",
    logged: "reject",
    end: (q) => settleMessage(q, q.take()[0]!, "reject", { dead: true }),
  },
  {
    name: "a lease that runs out",
    failures: 1,
    state: "ready",
    logged: "lease_expired",
    end: (q) => {
      q.take();
      q.advance(5_000);
    },
  },
  {
    name: "a lost consumer",
    failures: 1,
    state: "ready",
    logged: "consumer_lost",
    end: (q) => {
      const id = q.attach();
      q.dispatch();
      q.detach(id, "lost");
    },
  },
  {
    name: "a consumer that leaves",
    failures: 0,
    state: "ready",
    logged: "released",
    end: (q) => {
      const id = q.attach();
      q.dispatch();
      q.detach(id, "released");
    },
  },
  {
    name: "a restart of the broker that closes the socket",
    failures: 0,
    state: "ready",
    logged: "consumer_lost",
    end: (q) => {
      q.attach();
      q.dispatch();
      q.evict({ sockets: "close" });
      q.info();
    },
  },
];

function end(q: QueueHarness, verdict: Verdict): void {
  settleMessage(q, q.take()[0]!, verdict);
}

function letLapse(q: QueueHarness): void {
  q.take(1, { leaseMs: 1_000 });
  q.advance(1_000);
}

describe("the counts of a message", () => {
  for (const { name, failures, state, logged, end: endOne } of ENDINGS) {
    inBothLives(`gain one attempt and ${failures} failures by ${name}`, (make) => {
      const q = make({ config });
      q.publish("x");
      const { id } = q.take()[0]!;
      q.run((queue, nowMs) => queue.releaseAll(nowMs));
      const before = viewOf(q, id);
      expect(before).toEqual({ attempts: 1, failures: 0, state: "ready" });
      endOne(q);
      expect(viewOf(q, id)).toEqual({ attempts: 2, failures, state });
      expect(q.info().totals.failed).toBe(failures);
      const page = q.run((queue, nowMs) => queue.find({ id }, nowMs));
      expect(page.ok && page.value.log?.at(-1)).toMatchObject({ attempt: 2, outcome: logged, atMs: q.nowMs });
    });
  }

  inBothLives("show in the delivery: attempts with this one, failures before it", (make) => {
    const q = make({ config });
    q.publish("x");
    expect(takeOne(q, "x")).toMatchObject({ attempt: 1, failures: 0 });
    q.advance(5_000);
    expect(takeOne(q, "x")).toMatchObject({ attempt: 2, failures: 1 });
    q.advance(5_000);
    expect(takeOne(q, "x")).toMatchObject({ attempt: 3, failures: 2 });
  });

  inBothLives("let a message die at the failure after the last that is allowed", (make) => {
    const q = make({ config: { ...config, maxFailures: 2 } });
    q.publish("x");
    for (let i = 0; i < 3; i++) {
      expect(q.info().counts.dead).toBe(0);
      settleMessage(q, takeOne(q, "x"), "reject");
    }
    expect(q.info().counts).toMatchObject({ dead: 1, ready: 0, leased: 0 });
    expect(q.take()).toEqual([]);
  });

  inBothLives("let a message be given back any number of times", (make) => {
    const q = make({ config: { ...config, maxFailures: 0 } });
    q.publish("x");
    for (let i = 1; i <= 40; i++) {
      expect(q.take()[0]).toMatchObject({ attempt: i, failures: 0 });
      q.run((queue, nowMs) => queue.releaseAll(nowMs));
    }
    settleMessage(q, takeOne(q, "x"), "reject");
    expect(q.info().counts.dead).toBe(1);
  });

  inBothLives("charge only the oldest message of a lost consumer", (make) => {
    const q = make({ config: { ...config, maxFailures: 0 } });
    q.publish("1", "2", "3", "4");
    const id = q.attach({ credit: 4 });
    q.dispatch();
    q.detach(id, "lost");
    expect(q.info().counts).toMatchObject({ dead: 1, ready: 3 });
    expect(q.take(9)).toMatchObject([{ body: "2", attempt: 2, failures: 0 }]);
  });

  inBothLives("charge the oldest that is still open", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3");
    const id = q.attach({ credit: 3 });
    const [sent] = q.dispatch();
    q.settle({ lease: sent!.delivery.lease, sequences: [[1, 1]], verdict: "ack" });
    q.detach(id, "lost");
    const messages = [...q.take(1), ...q.take(1)];
    expect(messages).toMatchObject([
      { body: "2", failures: 1 },
      { body: "3", failures: 0 },
    ]);
  });

  it("charge what was sent first, also after an eviction when leases took the rows of ended ones", () => {
    const q = new QueueHarness({ config: { ...config, leaseMs: 60_000 } });
    // Rows of ended leases are used again in the order in which they ended: here the later one's first.
    q.publish("held", "a", "b");
    const [held, a, b] = [takeOne(q, "held"), takeOne(q, "a"), takeOne(q, "b")];
    settleMessage(q, b, "ack");
    settleMessage(q, a, "ack");
    for (let i = 0; i < 254; i++) {
      q.publish("more");
      settleMessage(q, q.take()[0]!, "ack");
    }
    settleMessage(q, held, "ack");
    q.publish("1", "2");
    const id = q.attach({ credit: 1 });
    q.dispatch();
    q.run((queue, nowMs) => {
      queue.attach({ ...queue.consumer(id)!, credit: 2 });
      return queue.dispatch(nowMs);
    });
    q.evict();
    q.detach(id, "lost");
    expect([...q.take(1), ...q.take(1)]).toMatchObject([
      { body: "1", failures: 1 },
      { body: "2", failures: 0 },
    ]);
  });

  inBothLives("send a message on its last attempt alone", (make) => {
    const q = make({ config: { ...config, maxFailures: 1 } });
    q.publish("1", "2", "3", "4");
    const lease = leaseOf(q.take(3)[0]!);
    q.settle({ lease, sequences: [[2, 1]], verdict: "reject" }, { lease, verdict: "nack" });
    expect([q.take(9), q.take(9), q.take(9)].map(bodies)).toEqual([["1"], ["2"], ["3", "4"]]);
  });

  inBothLives("leave no row behind when a message that came back is acked or dies", (make) => {
    const q = make({ config: { ...config, maxFailures: 1 } });
    q.publish("1", "2");
    end(q, "nack");
    settleMessage(q, takeOne(q, "1"), "ack");
    end(q, "nack");
    q.run((queue) => queue.store({ config: { ...queue.config, deadLetter: { queue: "dlq" } } }));
    settleMessage(q, takeOne(q, "2"), "reject", { dead: true });
    for (const table of ["returned", "segment", "progress"]) {
      expect([table, q.rowsIn(table)]).toEqual([table, 0]);
    }
  });
});

describe("the wait before the next attempt", () => {
  const waits: readonly { name: string; retry: RetryPolicy; random?: number; expected: number[] }[] = [
    {
      name: "fixed",
      retry: { kind: "fixed", baseMs: 700, maxMs: 9_000, jitter: 0 },
      expected: [700, 700, 700],
    },
    {
      name: "linear",
      retry: { kind: "linear", baseMs: 700, maxMs: 9_000, jitter: 0 },
      expected: [700, 1_400, 2_100],
    },
    {
      name: "exponential",
      retry: { kind: "exponential", baseMs: 700, maxMs: 9_000, jitter: 0 },
      expected: [700, 1_400, 2_800, 5_600],
    },
    {
      name: "never over its cap",
      retry: { kind: "exponential", baseMs: 700, maxMs: 1_500, jitter: 0 },
      expected: [700, 1_400, 1_500, 1_500],
    },
    {
      name: "whole when the random part is nothing",
      retry: { kind: "fixed", baseMs: 1_000, maxMs: 9_000, jitter: 0.2 },
      random: 0,
      expected: [1_000],
    },
    {
      name: "shorter by the share that is drawn",
      retry: { kind: "fixed", baseMs: 1_000, maxMs: 9_000, jitter: 0.2 },
      random: 0.5,
      expected: [900],
    },
    {
      name: "drawn after the cap",
      retry: { kind: "exponential", baseMs: 5_000, maxMs: 1_000, jitter: 1 },
      random: 0.75,
      expected: [250],
    },
  ];
  for (const { name, retry, random = 0.5, expected } of waits) {
    for (const [how, fail] of [
      ["a reject", (q: QueueHarness) => settleMessage(q, q.take()[0]!, "reject")],
      ["a lease that ran out", (q: QueueHarness) => letLapse(q)],
    ] as const) {
      inBothLives(`is ${name} after ${how}`, (make) => {
        const q = make({ config: { ...config, retry, maxFailures: 99 }, random: () => random });
        q.publish("x");
        for (const waitMs of expected) {
          fail(q);
          expect(q.wakeMs()).toBe(q.nowMs + waitMs);
          q.advance(waitMs - 1);
          expect(q.take()).toEqual([]);
          q.advance(1);
        }
        takeOne(q, "x");
      });
    }
  }

  inBothLives("grows with the attempts and not with the failures", (make) => {
    const retry = { kind: "linear", baseMs: 1_000, maxMs: 9_000, jitter: 0 } as const;
    const q = make({ config: { ...config, retry } });
    q.publish("x");
    end(q, "nack");
    end(q, "nack");
    end(q, "reject");
    expect(q.wakeMs()).toBe(q.nowMs + 3_000);
  });

  inBothLives("is what the consumer asks for, over every policy", (make) => {
    const retry = { kind: "fixed", baseMs: 1_000, maxMs: 1_000, jitter: 0 } as const;
    const q = make({ config: { ...config, retry, nackDelayMs: 500 } });
    q.publish("x");
    settleMessage(q, takeOne(q, "x"), "reject", { delayMs: 7_000 });
    expect(q.wakeMs()).toBe(q.nowMs + 7_000);
    q.advance(7_000);
    settleMessage(q, takeOne(q, "x"), "reject", { delayMs: 0 });
    settleMessage(q, takeOne(q, "x"), "nack", { delayMs: 3_000 });
    expect(q.wakeMs()).toBe(q.nowMs + 3_000);
  });

  inBothLives("is the queue's least back-off after a nack, unless it asks for none", (make) => {
    const q = make({ config: { ...config, nackDelayMs: 500 } });
    q.publish("x");
    end(q, "nack");
    expect(q.take()).toEqual([]);
    q.advance(499);
    expect(q.take()).toEqual([]);
    q.advance(1);
    settleMessage(q, takeOne(q, "x"), "nack", { delayMs: 0 });
    takeOne(q, "x");
  });
});

describe("a message that comes back", () => {
  inBothLives("goes out again at its original place", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3");
    const lease = leaseOf(q.take(2)[0]!);
    q.settle({ lease, sequences: [[2, 1]], verdict: "nack" });
    q.settle({ lease, sequences: [[1, 1]], verdict: "nack" });
    expect(bodies(q.take(9))).toEqual(["1", "2", "3"]);
  });

  inBothLives("goes out at its original place also when others' back-offs end first", (make) => {
    const q = make({ config });
    q.publish("1", "2", "3", "4");
    const lease = leaseOf(q.take(3)[0]!);
    q.settle(
      { lease, sequences: [[3, 1]], verdict: "nack", delayMs: 10 },
      { lease, sequences: [[2, 1]], verdict: "nack", delayMs: 20 },
      { lease, sequences: [[1, 1]], verdict: "nack", delayMs: 30 },
    );
    q.advance(30);
    expect(bodies(drain(q))).toEqual(["1", "2", "3", "4"]);
  });
});
