/**
 * The end of a history: faults stop, what is on its way arrives, one more message goes to every exchange, and what
 * everyone holds is held against the model.
 */
import { deliveredWhere, type Census } from "./holdings.ts";
import { NO_FAULTS } from "./faults.ts";
import { checkRouting, checkOrder, checkHeld } from "./routing-checkers.ts";
import { checkLastValues, checkPresence } from "./event-checkers.ts";
import { check } from "../checkers.ts";
import type { Random } from "../random.ts";
import { publishBatch } from "./messages.ts";
import { matches } from "../../../src/routing/topic.ts";
import type { RoutingWorld } from "./world.ts";

export async function takeCensus(world: RoutingWorld, random: Random): Promise<void> {
  await becomeQuiet(world);
  const lastIds = await publishLast(world, random);
  await world.runFor(120_000);
  for (const watcher of world.watchers) {
    const last = (lastIds.get(watcher.exchange) ?? []).findLast((id) =>
      matches(watcher.pattern, world.sent.get(id)!.message.routingKey),
    );
    watcher.end(last ?? null);
  }
  const census = await look(world);
  checkRouting(world, census);
  checkOrder(world, census);
  checkHeld(world, census);
  await finish(world, checkLastValues(world));
  await finish(world, checkPresence(world));
}

async function becomeQuiet(world: RoutingWorld): Promise<void> {
  world.say("all becomes quiet");
  world.faults = NO_FAULTS;
  world.isQuiet = true;
  for (const host of world.cluster.all()) host.isVanished = false;
  await world.runFor(15 * 60_000);
  for (const sent of world.sent.values()) {
    check(sent.outcome !== "pending", "answers", () => `${sent.id} was never answered`);
  }
}

/** Carries on until a piece of work is done that needs the loop. */
export async function finish<T>(world: RoutingWorld, work: Promise<T>): Promise<T> {
  let isDone = false;
  work.then(
    () => (isDone = true),
    () => (isDone = true),
  );
  for (let i = 0; !isDone && i < 1_000; i++) await world.runFor(50);
  check(isDone, "answers", () => "a call is never answered");
  return work;
}

/** The ids by exchange. */
async function publishLast(world: RoutingWorld, random: Random): Promise<Map<string, string[]>> {
  const ids = new Map<string, string[]>();
  for (const exchange of world.shape.exchanges.keys()) {
    const known = await finish(world, world.cluster.exchange(exchange).inspect());
    if (!known.ok) continue;
    const first = world.published + 1;
    const plan = { exchange, publisher: "last", isMandatory: false, delayMs: 0 };
    await finish(world, publishBatch(world, plan, 12, random));
    const mine = Array.from({ length: world.published - first + 1 }, (_, i) => `m${first + i}`);
    for (const id of mine) {
      const sent = world.sent.get(id)!;
      const isWell = sent.outcome === "confirmed" && sent.failed.length === 0;
      check(isWell, "publishes confirm", () => `${id} to ${exchange}: ${sent.outcome} ${sent.failed.join()}`);
    }
    ids.set(exchange, mine);
  }
  return ids;
}

async function look(world: RoutingWorld): Promise<Census> {
  return finish(world, deliveredWhere(world));
}
