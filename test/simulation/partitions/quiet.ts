/**
 * The end of a history: faults stop, everybody gets an answer, all is taken out, and what everyone holds is held against
 * what really happened.
 */
import type { MessageState, QueueInfo } from "../../../src/protocol/commands.ts";
import { deliveryToJson } from "../../../src/protocol/message-json.ts";
import { bytesOf } from "../../../src/storage/sql.ts";
import { check } from "../checkers.ts";
import { factsOf } from "../facts.ts";
import { NO_FAULTS } from "../routing/faults.ts";
import type { Actors } from "./acts.ts";
import { DEAD, MAIN } from "./shape.ts";
import type { PartitionsWorld } from "./world.ts";

const QUEUES = [MAIN, DEAD];
const STATES: readonly MessageState[] = ["ready", "leased", "delayed", "parked", "dead"];

export async function takeStock(actors: Actors): Promise<void> {
  const { world, operators, remotes } = actors;
  world.say("all becomes quiet");
  world.faults = NO_FAULTS;
  // What was refused or lost on its way before may still be heard of.
  await world.runFor(10 * 60_000);
  check(world.waiting.length === 0, "answers", () => `never answered: ${world.waiting.join()}`);
  world.isQuiet = true;
  for (const queue of QUEUES) {
    await checkSpread(world, queue);
    operators.checkSettings(queue);
    await world.finish("resume", operators.pause(queue, 0, false));
  }
  for (const remote of remotes.all()) await world.finish("detach", remotes.detach(remote, "released"));
  await world.runFor(6 * 60_000);
  const seen = new Set<string>();
  for (const queue of QUEUES) {
    await checkCounts(world, queue);
    for (const id of await idsIn(world, queue)) seen.add(id);
  }
  for (const id of idsOnTheirWay(world)) seen.add(id);
  checkConserved(world, seen);
  await emptyAll(actors);
  for (const queue of QUEUES) checkDone(world, queue);
  checkConserved(world, new Set());
}

async function inspect(world: PartitionsWorld, queue: string): Promise<QueueInfo> {
  const answer = await world.finish("inspect", world.queue(world.anyCaller(), queue).inspect());
  check(answer.ok, "inspect", () => `${queue} is not told of: ${JSON.stringify(answer)}`);
  return answer.value;
}

/** All partitions know the same. */
async function checkSpread(world: PartitionsWorld, queue: string): Promise<void> {
  const { config } = await inspect(world, queue);
  for (let i = 0; i < config.partitions; i++) await world.finish("wake", world.part(queue, i).inspect(32));
  const head = world.core(queue, 0)!;
  const { partitions } = head.config;
  const must = JSON.stringify([head.config, head.stored.paused]);
  check(head.partition.told === head.partition.changes, "spread", () => `${queue} has not told all`);
  for (let i = 0; i < partitions; i++) {
    const core = world.core(queue, i);
    check(core !== null, "spread", () => `${queue}/${i} is not there`);
    const { count, index } = core.partition;
    check(count === partitions, "spread", () => `${queue}/${i} knows of ${count}, not of ${partitions}`);
    check(index === i, "spread", () => `${queue}/${i} is ${index}`);
    const is = JSON.stringify([core.config, core.stored.paused]);
    check(is === must, "spread", () => `${queue}/${i} has ${is}, its head ${must}`);
  }
}

/** Where every message is adds up. */
async function checkCounts(world: PartitionsWorld, queue: string): Promise<void> {
  const { counts, totals, partitions = [], config } = await inspect(world, queue);
  const { ready, leased, delayed, parked, dead } = counts;
  const there = ready + leased + delayed + parked + dead;
  const { acked, cancelled, purged, dropped, deadLettered, redriven } = totals;
  const gone = acked + cancelled + purged + dropped + deadLettered + redriven;
  check(totals.published === gone + there, "counts", () => `${queue}: ${JSON.stringify({ counts, totals })}`);
  const copies = [...world.truth.copies.values()].filter((copy) => copy.queue === queue).length;
  const moved = world.truth.movedCounts.get(queue) ?? 0;
  check(totals.published === copies + moved, "counts", () => {
    return `${queue} counts ${totals.published} published; there were ${copies}, and ${moved} moved here`;
  });
  const acks = [...world.truth.acked.keys()].filter((key) => key.startsWith(`${queue} `)).length;
  check(acked === acks, "counts", () => `${queue} counts ${acked} acked; there were ${acks}`);
  const told = config.partitions === 1 ? 0 : config.partitions;
  check(partitions.length === told, "counts", () => `${queue} tells of ${partitions.length} partitions`);
}

/** What a look from the outside finds, partition after partition. */
async function idsIn(world: PartitionsWorld, queue: string): Promise<string[]> {
  const ids: string[] = [];
  const caller = world.anyCaller();
  world.forget(caller);
  for (const state of STATES) {
    let cursor: string | undefined;
    do {
      const wish = { state, limit: 7, ...(cursor === undefined ? {} : { cursor }) };
      const page = await world.finish("peek", world.queue(caller, queue).peek(wish));
      check(page.ok, "peek", () => `${queue} ${state}: ${JSON.stringify(page)}`);
      ids.push(...page.value.messages.map(({ body }) => new TextDecoder().decode(body)));
      cursor = page.value.cursor;
    } while (cursor !== undefined);
  }
  const { counts } = await inspect(world, queue);
  const { ready, leased, delayed, parked, dead } = counts;
  const there = ready + leased + delayed + parked + dead;
  check(ids.length === there, "peek", () => `${queue} shows ${ids.length} and counts ${there}`);
  return ids;
}

/** In the outboxes of partitions: what finds no room waits there. */
function idsOnTheirWay({ cluster, codec }: PartitionsWorld): string[] {
  const rows = cluster.all().flatMap((host) => host.rows<{ batch: ArrayBuffer }>("SELECT batch FROM outbox"));
  return rows.flatMap(({ batch }) => factsOf(codec, bytesOf(batch)).map(({ text }) => text));
}

/** A confirmed message was acked, may have been purged, or is among these. */
function checkConserved({ truth }: PartitionsWorld, seen: ReadonlySet<string>): void {
  for (const { id, outcome, queue } of truth.sent.values()) {
    if (outcome !== "confirmed") continue;
    const isThere = seen.has(id) || truth.ackedIds.has(id) || truth.mayBePurged.has(id);
    check(isThere, "no loss", () => `${id} was confirmed by ${queue} and is nowhere`);
  }
}

/** Takes everything out of both queues: what is dead is brought back, what is parked is freed. */
async function emptyAll({ world, operators }: Actors): Promise<void> {
  for (let round = 0; round < 60; round++) {
    let left = 0;
    for (const queue of QUEUES) {
      await drain(world, queue);
      const { counts } = await inspect(world, queue);
      const { ready, leased, delayed, parked, dead, deadLettering } = counts;
      left += ready + leased + delayed + parked + dead + deadLettering;
      const task = { filter: {}, dryRun: false };
      if (dead > 0) await world.finish("redrive", world.queue(0, queue).redrive(task));
      for (let i = 1; i <= world.shape.keys && parked > 0; i++) {
        const resume = world.queue(world.anyCaller(), queue).resumeKey(`k${i}`, "retry");
        await world.finish("resume", resume);
      }
    }
    if (left === 0) return;
    await world.runFor(10_000);
  }
  for (const queue of QUEUES) {
    const { counts, partitions } = await inspect(world, queue);
    world.say(`${queue}: ${JSON.stringify({ counts, partitions })}`);
  }
  check(false, "liveness", () => `messages stay: ${world.history.slice(-QUEUES.length).join()}`);
  await operators.inspect(MAIN, 0);
}

async function drain(world: PartitionsWorld, queue: string): Promise<void> {
  for (;;) {
    const caller = world.anyCaller();
    const command = { consumer: "last", max: 50, leaseMs: 60_000 };
    const answer = await world.finish("receive", world.queue(caller, queue).receive(command));
    check(answer.ok, "quiet", () => `receive from ${queue} is refused: ${JSON.stringify(answer)}`);
    const { lease } = answer.value;
    if (lease === 0) return;
    const all = deliveryToJson(answer.value, world.codec);
    const settlement = {
      lease,
      sequences: all.map(({ sequence }) => [sequence, 1] as const),
      verdict: "ack" as const,
    };
    const settled = await world.finish("settle", world.queue(world.anyCaller(), queue).settle([settlement]));
    check(settled.ok, "quiet", () => `settling in ${queue} is refused: ${JSON.stringify(settled)}`);
  }
}

/** Nothing waits for anything. */
function checkDone(world: PartitionsWorld, queue: string): void {
  const { partitions } = world.core(queue, 0)!.config;
  for (let i = 0; i < partitions; i++) {
    const { waitsFor, fences } = world.core(queue, i)!.partition;
    check(waitsFor.length === 0, "waiting", () => `${queue}/${i} waits for ${waitsFor.join()}`);
    check(fences.length === 0, "waiting", () => `${queue}/${i} has fences ${JSON.stringify(fences)}`);
  }
}
