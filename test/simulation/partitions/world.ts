// The objects of two queues, callers with what each knows of them, and what really happened.
import { Layouts } from "../../../src/partitions/layouts.ts";
import { WholeQueue } from "../../../src/partitions/whole-queue.ts";
import type { HubApi } from "../../../src/protocol/exchange-rpc.ts";
import { partitionName } from "../../../src/protocol/names.ts";
import type { Result } from "../../../src/protocol/result.ts";
import type { PartitionApi, QueueApi } from "../../../src/protocol/rpc.ts";
import { firstSequenceOf } from "../../../src/queue/lane.ts";
import { openMessages, type Leases } from "../../../src/queue/leases.ts";
import type { Queue } from "../../../src/queue/queue.ts";
import { wasmCodec } from "../../support/queue-harness.ts";
import { check } from "../checkers.ts";
import type { Random } from "../random.ts";
import { Cluster } from "../routing/cluster.ts";
import type { RoutingFaults } from "../routing/faults.ts";
import type { Host } from "../routing/host.ts";
import { Loop } from "../routing/loop.ts";
import { install } from "../routing/platform.ts";
import { Dedup, Finality, KeyOrder, Once, OneDelivery, PerKey } from "./checkers.ts";
import { separateIsolates } from "./isolates.ts";
import { Observer, type Witness } from "./observer.ts";
import { drawShape, MAIN, withNewer, type Shape } from "./shape.ts";
import { place, Truth } from "./truth.ts";

/** What a queue's object has in memory. */
interface Inside {
  open(): Queue | null;
  readonly queue: object | null;
}

export class PartitionsWorld {
  readonly shape: Shape;
  readonly loop: Loop;
  readonly cluster: Cluster;
  readonly codec = wasmCodec();
  readonly random: Random;
  readonly truth = new Truth();
  readonly history: string[] = [];
  readonly confirms: Dedup;
  readonly once = new Once(this.truth);
  faults: RoutingFaults;
  /** Nothing goes wrong any more: what consumers get they ack. */
  isQuiet = false;
  /** What a hub does with deliveries; set by who consumes over hubs. */
  deliver: HubApi["deliver"] = async () => ({ ok: true, value: { gone: [] } });
  published = 0;
  batches = 0;
  private readonly layouts: Layouts[];
  private readonly perKey: PerKey;
  private readonly oneDelivery: OneDelivery;
  /** Draws what was added later; null where that is left out. */
  readonly newer: Random | null;
  private readonly restore: () => void;
  private failure: unknown = null;
  private unfinished = new Map<number, string>();
  private started = 0;

  constructor(random: Random, setup: Random, faults: RoutingFaults, newer: Random | null) {
    this.random = random;
    this.faults = faults;
    this.newer = newer;
    const shape = drawShape(setup);
    this.shape = newer === null ? shape : withNewer(shape, newer);
    this.layouts = Array.from({ length: this.shape.callers }, () => new Layouts());
    this.loop = new Loop(random);
    this.confirms = new Dedup(this.truth, this.shape.queues);
    this.perKey = new PerKey(this.truth, this.shape.queues);
    this.oneDelivery = new OneDelivery(this.truth, this.shape.queues);
    const say = (line: string): void => this.say(line);
    const uninstall = install({ loop: this.loop, random, say });
    const rejoin = separateIsolates();
    const observer = new Observer(this.codec, this.witness());
    const unhandled = (error: unknown): void => this.fail(error);
    process.on("unhandledRejection", unhandled);
    this.restore = () => {
      process.off("unhandledRejection", unhandled);
      observer.end();
      rejoin();
      uninstall();
    };
    this.cluster = new Cluster({
      loop: this.loop,
      random,
      hubs: this.shape.hubs,
      faults: () => this.faults,
      say,
      hub: this.fakeHub(),
      committed: (host, isStored) => {
        try {
          observer.committed(isStored);
          if (host.kind === "queue" && isStored) this.lookAtLeases(host);
        } catch (error) {
          this.fail(error);
        }
      },
    });
  }

  private fakeHub(): new () => unknown {
    const deliver: HubApi["deliver"] = (queue, deliveries) => this.deliver(queue, deliveries);
    return class {
      readonly deliver = deliver;
    };
  }

  private witness(): Witness {
    const { truth } = this;
    const order = new KeyOrder(truth, this.shape.queues);
    const finality = new Finality(truth);
    return {
      stored: (noted) => {
        const copy = { ...noted, at: truth.tick(), atMs: this.loop.nowMs };
        this.once.stored(copy);
        this.confirms.stored(copy);
        truth.stored(copy);
        this.say(`  ${copy.id} is stored in ${copy.queue} as ${shown(copy.sequence)}`);
      },
      arrived: (queue, ids, accepted) => {
        truth.arrived(queue, ids, accepted);
        this.say(`  ${ids.join(" ")} move to ${queue}, ${accepted} of them now`);
      },
      granted: (grant) => {
        truth.granted.set(place(grant.queue, grant.sequence), grant.id);
        finality.granted(grant);
        this.oneDelivery.granted(grant);
        if (!this.shape.drainsKeys) order.granted(grant);
        this.say(`  ${grant.id} goes out of ${grant.queue} as ${shown(grant.sequence)}`);
      },
      acked: (queue, sequence) => truth.ackedAt(queue, sequence),
      purged: (queue, partition) => truth.purged(queue, partition),
      grew: (queue) => {
        truth.grew(queue);
        this.say(`  a partition of ${queue} learns of more`);
      },
    };
  }

  private lookAtLeases({ name, instance }: Host): void {
    const { queue } = instance as Inside;
    if (queue === null) return;
    const out = new Map<number, number>();
    const { leases } = (queue as { context: { leases: Leases } }).context;
    for (const lease of leases.active.values()) {
      for (const { run, index } of openMessages(lease))
        out.set(firstSequenceOf(run.segment) + index, lease.id);
    }
    const [whole = MAIN, partition = "0"] = name.split("/");
    this.perKey.leased(whole, Number(partition), new Set(out.keys()));
    this.oneDelivery.leased(whole, Number(partition), out);
  }

  say(line: string): void {
    this.history.push(`${this.loop.nowMs - 1_700_000_000_000} ${line}`);
  }

  fail(error: unknown): void {
    this.failure ??= error;
  }

  // Callers

  /** The queue as one caller sees it. */
  queue(caller: number, queue: string): QueueApi {
    return new WholeQueue({
      name: queue,
      part: (partition) => this.part(queue, partition),
      layouts: this.layouts[caller]!,
      codec: this.codec,
      random: () => this.random.next(),
      drawMark: () => 1 + Math.floor(this.random.next() * 2 ** 50),
    });
  }

  part(queue: string, partition: number): PartitionApi {
    return this.cluster.queue(partitionName("sim", queue, partition)) as PartitionApi;
  }

  /** A caller's isolate is a new one: it knows nothing. */
  forget(caller: number): void {
    this.layouts[caller] = new Layouts();
  }

  anyCaller(): number {
    return this.random.between(0, this.shape.callers - 1);
  }

  /** The core in an object. */
  core(queue: string, partition: number): Queue | null {
    const host = this.cluster.host("queue", partition === 0 ? queue : `${queue}/${partition}`);
    return (host.instance as Inside | null)?.open() ?? null;
  }

  /** Asks; null when it is not known what became of it. */
  async ask<T>(what: string, call: () => Promise<Result<T>>): Promise<Result<T> | null> {
    try {
      const answer = await call();
      if (!answer.ok) this.judgeRefusal(what, answer.code);
      return answer;
    } catch (error) {
      this.say(`${what}: ${String(error)}`);
      if (this.isQuiet) throw error;
      return null;
    }
  }

  judgeRefusal(what: string, code: string): void {
    this.say(`${what}: ${code}`);
    const isLayout = code === "partitions_changed" || code === "unavailable";
    check(!this.isQuiet || !isLayout, "quiet", () => `${what} is refused with ${code}`);
  }

  // Going on

  /** Starts something that goes on while other things happen. */
  start(what: string, work: () => Promise<void>): void {
    const number = ++this.started;
    this.unfinished.set(number, what);
    work().then(
      () => this.unfinished.delete(number),
      (error: unknown) => this.fail(error),
    );
  }

  get waiting(): readonly string[] {
    return [...this.unfinished.values()];
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.loop.later(ms, resolve));
  }

  /** Lets some things happen. */
  async run(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      const isMore = await this.loop.step(this.loop.nowMs + 2_000);
      if (this.failure !== null) throw this.failure;
      if (!isMore) return;
    }
  }

  async runFor(ms: number): Promise<void> {
    const untilMs = this.loop.nowMs + ms;
    while (await this.loop.step(untilMs)) if (this.failure !== null) throw this.failure;
    this.loop.nowMs = Math.max(this.loop.nowMs, untilMs);
    if (this.failure !== null) throw this.failure;
  }

  /** Carries on until a piece of work is done that needs the loop. */
  async finish<T>(what: string, work: Promise<T>): Promise<T> {
    let isDone = false;
    work.then(
      () => (isDone = true),
      () => (isDone = true),
    );
    for (let i = 0; !isDone && i < 2_000; i++) await this.runFor(20);
    check(isDone, "answers", () => `${what} is never answered`);
    return work;
  }

  close(): void {
    this.cluster.close();
    this.restore();
  }
}

/** Partition and number, for people. */
export function shown(sequence: number): string {
  const partition = Math.floor(sequence / 2 ** 42);
  return `${partition}:${sequence - partition * 2 ** 42}`;
}
