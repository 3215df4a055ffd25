// Who acts on the queues: producers, consumers over sockets and over HTTP, an operator, the platform. Each act is
// drawn from what may happen now.
import { readBatchHeader, type MessageRecord } from "../../src/protocol/batch.ts";
import type { PublishCommand, RedriveCommand, Settlement } from "../../src/protocol/commands.ts";
import type { Consumer } from "../../src/queue/consumers.ts";
import {
  attach,
  cancel,
  changeConsumer,
  detach,
  pause,
  publish,
  purge,
  receive,
  redrive,
  replace,
  resumeKey,
  settle,
  update,
} from "./actions.ts";
import { drawNewerUpdate, drawTarget, drawUpdate } from "./configs.ts";
import { encodeBatch } from "./facts.ts";
import type { Random } from "./random.ts";
import type { Held, Site } from "./site.ts";
import type { World } from "./world.ts";

export type Act = (world: World, site: Site, random: Random) => void;

const encoder = new TextEncoder();
const PRODUCERS = ["p1", "p2", "p3"];
const KEYS = ["a", "b", "c"];

function drawRecord(world: World, site: Site, random: Random): MessageRecord {
  const number = ++world.published;
  const cancelKey = `c${random.between(1, 6)}`;
  const record: MessageRecord = {
    body: encoder.encode(`m${number}`),
    ...(random.chance(0.7) ? { orderingKey: random.pick(KEYS) } : {}),
    ...(random.chance(0.15) ? { priority: random.pick([1, 5, 31]) } : {}),
    ...(random.chance(0.2) ? { delayMs: random.pick([1, 40, 40, 400, 3_000]) } : {}),
    ...(random.chance(0.1) ? { ttlMs: random.pick([0, 1, 100, 2_000]) } : {}),
    ...(random.chance(0.15) ? { dedupId: `d${random.between(1, 8)}` } : {}),
    ...(random.chance(0.12) ? { cancelKey } : {}),
  };
  return world.newer === null ? record : withNewerFields(record, site, world.newer);
}

/** A delay of 0 that is named, a body that others have too, and mostly what the queue requires. */
function withNewerFields(record: MessageRecord, site: Site, random: Random): MessageRecord {
  const { required } = site.model.config;
  const isDutiful = random.chance(0.95);
  const orderingKey = random.pick(KEYS);
  const dedupId = `d${random.between(1, 60)}`;
  const same = `same${random.between(1, 5)}`;
  return {
    ...(random.chance(0.1) ? { delayMs: 0 } : {}),
    ...(isDutiful && required.includes("orderingKey") ? { orderingKey } : {}),
    ...(isDutiful && required.includes("dedupId") ? { dedupId } : {}),
    ...record,
    ...(random.chance(0.15) ? { body: encoder.encode(same) } : {}),
  };
}

function drawBatch(world: World, site: Site, random: Random): Uint8Array {
  const isPlain = random.chance(0.3);
  const count = random.weighted([
    [6, 1],
    [3, random.between(2, 4)],
    [1, random.between(5, 9)],
  ]);
  const records = Array.from({ length: count }, () => {
    const record = drawRecord(world, site, random);
    return isPlain ? { body: record.body } : record;
  });
  return encodeBatch(site.core.codec, records);
}

/** A turn's publishes: some plain, some of a producer that repeats what was not answered. */
const produce: Act = (world, site, random) => {
  const producers = new Set<string>();
  const commands = Array.from(
    { length: random.chance(0.7) ? 1 : random.between(2, 3) },
    (): PublishCommand => {
      const batch = drawBatch(world, site, random);
      const id = random.pick(PRODUCERS);
      if (random.chance(0.6) || producers.has(id)) return { batch };
      producers.add(id);
      const memory = site.producers.get(id) ?? { next: 1, unconfirmed: null };
      site.producers.set(id, memory);
      memory.unconfirmed ??= { batch, producer: { id, sequence: memory.next } };
      return memory.unconfirmed;
    },
  );
  if (random.chance(world.faults.duplicateProbability)) commands.push(random.pick(commands));
  const answers = publish(world, site, commands, random);
  if (answers === null) return;
  commands.forEach((command, i) => {
    const memory = command.producer && site.producers.get(command.producer.id);
    if (!memory || memory.unconfirmed !== command) return;
    if (answers[i] && random.chance(world.faults.confirmLostProbability)) return;
    memory.unconfirmed = null;
    if (answers[i]) memory.next += readBatchHeader(command.batch).count;
  });
};

/** A producer that lost count. */
const produceOutOfTurn: Act = (world, site, random) => {
  const memory = site.producers.get("p1");
  if (!memory || memory.unconfirmed !== null) return;
  const sequence = random.between(1, memory.next + 3);
  if (sequence === memory.next) return;
  const batch = drawBatch(world, site, random);
  publish(world, site, [{ batch, producer: { id: "p1", sequence } }], random);
};

/** Says a dedup id again just before, at, or just after the end of its window. */
const produceAtEdge: Act = (world, site, random) => {
  const windows = site.acceptance.windows().filter(({ untilMs }) => untilMs > world.nowMs);
  if (windows.length === 0) return;
  const { id, key, untilMs } = random.pick(windows);
  world.nowMs = untilMs + random.between(-1, 1);
  const drawn = drawRecord(world, site, random);
  const isOfKey = key !== null && site.model.config.dedupScope === "key";
  const record = { ...drawn, dedupId: id, ...(isOfKey ? { orderingKey: key } : {}) };
  publish(world, site, [{ batch: encodeBatch(site.core.codec, [record]) }], random);
};

/** One producer publishes in several turns, then the object is evicted and the last batch comes once more. */
const produceInARow: Act = (world, site, random) => {
  const memory = site.producers.get("p4") ?? { next: 1, unconfirmed: null };
  site.producers.set("p4", memory);
  for (let i = random.between(2, 4); i > 0; i--) {
    const batch = drawBatch(world, site, random);
    const command = { batch, producer: { id: "p4", sequence: memory.next } };
    if (!publish(world, site, [command], random)?.[0]) return;
    memory.next += readBatchHeader(batch).count;
    if (i > 1) continue;
    world.evict(site);
    publish(world, site, [command], random);
  }
};

const receiveSome: Act = (world, site, random) => {
  const consumer = `http-${random.between(1, 2)}`;
  const attempt = random.chance(0.3) ? { attemptId: `try-${random.between(1, 3)}` } : {};
  const leaseMs = random.chance(0.3) ? { leaseMs: random.pick([100, 2_000]) } : {};
  const max = random.pick([1, 2, 5, 10]);
  const none = world.newer?.chance(0.1) ? { leaseMs: 0 } : {};
  receive(world, site, { consumer, max, ...attempt, ...leaseMs, ...none }, random);
};

function drawSettlement(world: World, site: Site, held: Held, random: Random): Settlement {
  const drawn = random.weighted<Settlement["verdict"]>([
    [5, "ack"],
    [2, "nack"],
    [3, "reject"],
    [1, "extend"],
  ]);
  const verdict = world.newer?.chance(0.15) ? "extend" : drawn;
  const some = held.sequences.filter(() => random.chance(0.6));
  const stranger = random.pick(site.held).sequences[0]!;
  const isStranger = random.chance(world.faults.staleSettleProbability / 4);
  const sequences = (isStranger ? [...some, stranger] : some).map((sequence) => [sequence, 1] as const);
  const isWhole = random.chance(0.4) || sequences.length === 0;
  const mayBeLate = verdict === "ack" || verdict === "extend";
  return {
    ...(mayBeLate && world.newer?.chance(0.4) ? { late: true } : {}),
    lease: held.lease + (random.chance(0.02) ? 1 : 0),
    verdict,
    ...(isWhole ? {} : { sequences }),
    ...(verdict === "reject" && random.chance(0.15) ? { dead: true } : {}),
    ...(random.chance(0.3) && verdict !== "ack" ? { delayMs: random.pick([0, 1, 300]) } : {}),
    ...(verdict === "reject" && random.chance(0.3) ? { error: "it broke" } : {}),
    ...(verdict === "extend" && random.chance(0.5) ? { leaseMs: random.pick([50, 5_000]) } : {}),
  };
}

const settleSome: Act = (world, site, random) => {
  const open = site.held.filter(({ lease }) => site.model.open(site.model.leases.get(lease)!).length > 0);
  const isLate = world.newer?.chance(0.2) ?? false;
  const isStale = open.length === 0 || random.chance(world.faults.staleSettleProbability) || isLate;
  const choice = isStale ? site.held : open;
  if (choice.length === 0) return;
  const settlement = drawSettlement(world, site, random.pick(choice), random);
  const isStored = settle(world, site, settlement, random);
  const { ackLostProbability, duplicateProbability } = world.faults;
  if (!isStored || random.chance(ackLostProbability) || random.chance(duplicateProbability)) {
    settle(world, site, settlement, random);
  }
};

const attachOne: Act = (world, site, random) => {
  if (site.core.sockets.size >= 4) return;
  const id = ++world.lastConsumer;
  const consumer: Consumer = {
    id,
    subject: "",
    name: `socket-${id}`,
    credit: random.pick([1, 2, 5, 20]),
    leaseMs: random.chance(0.3) ? random.pick([100, 3_000]) : null,
    priority: random.chance(0.2) ? 1 : 0,
    isExclusive: random.chance(0.08),
    isOnce: random.chance(0.15),
    isDraining: false,
    attemptId: null,
  };
  const none = world.newer?.chance(0.1) ? { leaseMs: 0 } : {};
  attach(world, site, { ...consumer, ...none }, random);
};

const changeOne: Act = (world, site, random) => {
  const sockets = [...site.core.sockets.values()];
  if (sockets.length === 0) return attachOne(world, site, random);
  const { id } = random.pick(sockets);
  if (random.chance(0.4 + world.faults.consumerCrashProbability)) {
    detach(world, site, id, random.chance(0.6) ? "lost" : "released", random);
  } else {
    const change = random.chance(0.2) ? { isDraining: true } : { credit: random.pick([1, 3, 10]) };
    changeConsumer(world, site, id, change, random);
  }
};

function drawHandle(site: Site, random: Random): { id: string } | { cancelKey: string } {
  const messages = site.model.all();
  if (messages.length === 0 || random.chance(0.3)) return { cancelKey: `c${random.between(1, 6)}` };
  return { id: random.pick(messages).id };
}

const operate: Act = (world, site, random) => {
  const { model } = site;
  random.weighted<() => void>([
    [2, () => pause(world, site, !model.paused && random.chance(0.4), random)],
    [
      1,
      () => {
        const upToSequence = random.chance(0.2) ? undefined : random.between(1, model.nextSequence);
        const upTo = upToSequence === undefined ? {} : { upToSequence };
        const newer = { leased: world.newer?.chance(0.5) ?? false, dedup: world.newer?.chance(0.3) ?? false };
        purge(world, site, { ...upTo, ...newer }, random);
      },
    ],
    [4, () => cancel(world, site, drawHandle(site, random), random)],
    [2, () => replace(world, site, drawHandle(site, random), drawBatch(world, site, random), random)],
    [
      2,
      () => {
        const drawn = drawUpdate(random);
        const newer = world.newer?.chance(0.5) ? drawNewerUpdate(world.newer) : drawn;
        const led = world.newer?.chance(0.3) ? drawTarget(site.name, world.newer) : {};
        update(world, site, { ...newer, ...led }, random);
      },
    ],
    [3, () => redriveSome(world, site, random)],
    [4, () => resumeKey(world, site, random.pick(KEYS), random.pick(["retry", "skip", "drain"]), random)],
  ])();
};

function redriveSome(world: World, site: Site, random: Random): void {
  const some = site.model.all().filter(() => random.chance(0.5));
  const drawn = {
    filter: random.chance(0.5) ? {} : { ids: some.map(({ id }) => id) },
    dryRun: random.chance(0.2),
    ...(random.chance(0.2) ? { to: random.pick(["main", "keys"]) } : {}),
    ...(random.chance(0.3) ? { limit: random.between(1, 5) } : {}),
    ...(random.chance(0.3) ? { ratePerSecond: random.pick([2, 20]) } : {}),
  };
  if (world.newer === null) return redrive(world, site, drawn, random);
  redrive(world, site, withNewerWish(drawn, world.newer), random);
  // One more while that goes on, perhaps.
  if (world.newer.chance(0.4)) redrive(world, site, withNewerWish(drawn, world.newer), random);
}

function withNewerWish(command: RedriveCommand, random: Random): RedriveCommand {
  const rate = random.chance(0.4) ? { ratePerSecond: 5 } : {};
  const all = random.chance(0.4) ? { all: true, to: random.pick(["main", "keys", "short"]) } : {};
  return { ...command, ...all, ...rate, ...(random.chance(0.5) ? { alone: true } : {}) };
}

const carrySome: Act = (world, _site, random) => {
  for (const from of world.sites.values()) if (from.moves.size > 0) world.carry(from, random);
};

const lookClosely: Act = (world, site) => world.census(site);

/** An event that only lets time pass for a queue. */
const wait: Act = (world, site, random) => {
  world.turn({ site, random, work: () => undefined, apply: () => undefined });
};

export const ACTS: readonly (readonly [weight: number, act: Act])[] = [
  [24, produce],
  [2, produceOutOfTurn],
  [1, produceAtEdge],
  [1, produceInARow],
  [14, receiveSome],
  [26, settleSome],
  [5, attachOne],
  [6, changeOne],
  [9, operate],
  [8, carrySome],
  [4, lookClosely],
  [4, wait],
];
