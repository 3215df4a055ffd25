// What may happen next, each act drawn by its weight. None waits: it starts something that goes on between the others.
import type { SlowPolicy } from "../../../src/protocol/session-frames.ts";
import type { Random } from "../random.ts";
import { bind, declare, identityOf, remove, unbind } from "./manage.ts";
import { consume, publishBatch, publishOne } from "./messages.ts";
import { drawBinding, drawPattern } from "./shape.ts";
import { Watcher } from "./watcher.ts";
import type { RoutingWorld } from "./world.ts";

type Act = (world: RoutingWorld, random: Random) => void;

export function anyExchange(world: RoutingWorld, random: Random): string {
  return random.pick([...world.shape.exchanges.keys()]);
}

function anyQueue(world: RoutingWorld, random: Random): string {
  return random.pick([...world.shape.queues.keys()]);
}

const publish: Act = (world, random) => {
  const plan = {
    exchange: anyExchange(world, random),
    publisher: random.pick(["p0", "p1"]),
    isMandatory: random.chance(0.3),
    delayMs: random.chance(0.15) ? random.pick([1, 500, 8_000]) : 0,
  };
  void publishBatch(world, plan, random.chance(0.6) ? 1 : random.between(2, 6), random).catch(
    (error: unknown) => world.fail(error),
  );
};

const send: Act = (world, random) => {
  const publisher = random.pick(world.shape.clients);
  const exchange = anyExchange(world, random);
  const count = random.chance(0.6) ? 1 : random.between(2, 5);
  for (let i = 0; i < count; i++) {
    const isMandatory = random.chance(0.2);
    void publishOne(world, { exchange, publisher, isMandatory, delayMs: 0 }, random).catch((error: unknown) =>
      world.fail(error),
    );
  }
};

const makeBinding: Act = (world, random) => {
  const from = anyExchange(world, random);
  const destination = random.chance(0.65)
    ? { queue: anyQueue(world, random) }
    : { exchange: anyExchange(world, random) };
  const binding = drawBinding(world.exchangeConfig(from).kind, destination, random);
  world.start(identityOf(from, binding), () => bind(world, from, binding));
};

const takeBinding: Act = (world, random) => {
  const known = world.model.bindingsOf({}).filter(({ id }) => id !== null);
  if (known.length === 0) return;
  const binding = random.pick(known);
  world.start(identityOf(binding.from, binding), () => unbind(world, binding));
};

const declareAny: Act = (world, random) => {
  const kind = random.pick(["exchange", "queue"] as const);
  const name = kind === "exchange" ? anyExchange(world, random) : anyQueue(world, random);
  world.start(`${kind} ${name}`, () => declare(world, kind, name));
};

const removeAny: Act = (world, random) => {
  const kind = random.pick(["exchange", "queue"] as const);
  const name = kind === "exchange" ? anyExchange(world, random) : anyQueue(world, random);
  world.start(`${kind} ${name}`, async () => {
    await remove(world, kind, name);
    if (random.chance(0.7)) await declare(world, kind, name);
  });
};

const consumeAny: Act = (world, random) => {
  void consume(world, anyQueue(world, random), random.chance(0.5), random.between(1, 3));
};

const subscribe: Act = (world, random) => {
  const client = random.pick(world.shape.clients);
  const exchange = anyExchange(world, random);
  const pattern = drawPattern(random);
  const isOpen = world.watchers.some(
    ({ name, subscription, ...one }) =>
      name.startsWith(client) &&
      one.exchange === exchange &&
      one.pattern === pattern &&
      subscription.state !== "closed",
  );
  if (isOpen) return;
  const place = world.truth.last(exchange);
  const since =
    place === null ? {} : { since: `${place.epoch}:${Math.max(0, place.offset - random.between(0, 8))}` };
  const options = {
    onSlow: random.pick<SlowPolicy>(["drop", "drop", "conflate", "disconnect"]),
    format: random.pick(["json", "binary"] as const),
    ...random.weighted<object>([
      [5, {}],
      [2, since],
      [1, { last: random.between(1, 5) }],
      [1, { lastValues: true }],
      [1, { ...since, lastValues: true }],
    ]),
  };
  const isBusy = random.chance(0.3);
  const name = `${client}#${world.watchers.length}`;
  world.say(`${name} subscribes to ${exchange} ${pattern} ${JSON.stringify(options)}`);
  const watcher = new Watcher(name, { client: world.client(client), exchange, pattern }, options, {
    truth: world.truth,
    say: (line) => world.say(line),
    busyMs: () => (isBusy && !world.isQuiet ? random.between(0, 3_000) : 0),
    later: (delayMs, run) => void world.loop.later(delayMs, run),
    failed: (error) => world.fail(error),
  });
  world.watchers.push(watcher);
};

const unsubscribe: Act = (world, random) => {
  const open = world.watchers.filter(({ subscription }) => subscription.state !== "closed");
  if (open.length === 0) return;
  const watcher = random.pick(open);
  world.say(`${watcher.name} unsubscribes`);
  void watcher.subscription.unsubscribe().catch(() => undefined);
};

const letTimePass: Act = (world, random) => {
  world.jump(random.pick([500, 5_000, 61_000, 200_000]));
};

export const ACTS: readonly (readonly [number, Act])[] = [
  [10, publish],
  [6, send],
  [5, makeBinding],
  [2, takeBinding],
  [2, declareAny],
  [1, removeAny],
  [3, consumeAny],
  [5, subscribe],
  [1, unsubscribe],
  [1, letTimePass],
];

/** What the platform does to them meanwhile. */
export function disturb(world: RoutingWorld, random: Random): void {
  const { faults, cluster } = world;
  const hosts = cluster.all().filter(({ kind }) => kind !== "namespace");
  if (hosts.length > 0 && random.chance(faults.evict)) {
    const host = random.pick(hosts);
    const how = random.chance(faults.crash) ? "lose" : "hibernate";
    world.say(`${host.label} is evicted (sockets ${how})`);
    host.evict(how);
  }
  const hubs = hosts.filter(({ kind }) => kind === "hub");
  if (hubs.length > 0 && random.chance(faults.vanish)) {
    const hub = random.pick(hubs);
    world.say(`${hub.label} ${hub.isVanished ? "comes back empty" : "vanishes"}`);
    hub.empty();
    hub.isVanished = !hub.isVanished;
  }
  if (random.chance(faults.cut)) world.cut(random.pick(world.shape.clients), random.chance(0.3));
}
