// The invariants of routing: where messages are at the end of a history, against the model.
import { check } from "../checkers.ts";
import type { Census } from "./holdings.ts";
import type { Reach } from "./model.ts";
import type { RoutingWorld, Sent } from "./world.ts";

function counts(census: Census): Map<string, Map<string, number>> {
  const all = new Map<string, Map<string, number>>();
  for (const [queue, arrivals] of census.queues) {
    for (const { id } of arrivals) {
      const places = all.get(id) ?? new Map<string, number>();
      all.set(id, places.set(queue, (places.get(queue) ?? 0) + 1));
    }
  }
  return all;
}

function reachOf({ model }: RoutingWorld, sent: Sent): Reach {
  const { exchange, message, start, delayMs } = sent;
  // A message on a delay goes its way some time later.
  return model.reach(exchange, message, start, delayMs > 0 ? model.now() : sent.end);
}

function show(places: ReadonlyMap<string, number>): string {
  return JSON.stringify(Object.fromEntries(places));
}

/** Each confirmed message is in the queues that were bound, once in each, and nowhere else; the confirm said so. */
export function checkRouting(world: RoutingWorld, census: Census): void {
  const { model } = world;
  const all = counts(census);
  const now = model.now();
  const isStill = (queue: string, from: number): boolean =>
    (model.queues.get(queue) ?? []).some((span) => span.must(from, now));
  for (const sent of world.sent.values()) {
    const places = all.get(sent.id) ?? new Map<string, number>();
    if (world.died.has(sent.id)) continue;
    const { must, may } = reachOf(world, sent);
    const shown = (): string =>
      `${sent.id} to ${sent.exchange} "${sent.message.routingKey}" is in ${show(places)}, must ${[...must].join()}, may ${[...may].join()}; ${JSON.stringify(sent)}`;
    if (sent.outcome === "refused") check(places.size === 0, "refused", shown);
    for (const [queue, count] of places) {
      check(may.has(queue), "nowhere else", shown);
      check(count === 1, "each once", shown);
    }
    if (sent.outcome !== "confirmed") continue;
    const failed = new Set(sent.failed);
    const hasFailedExchange = sent.failed.some((key) => key.startsWith("exchange:"));
    for (const queue of must) {
      if (hasFailedExchange || failed.has(`queue:${queue}`) || !isStill(queue, sent.start)) continue;
      check(places.has(queue), "routed", shown);
    }
    if (sent.delayMs > 0) continue;
    if (sent.isReturned) check(places.size === 0 && must.size === 0, "returned", shown);
    if ([...may].every((queue) => isStill(queue, sent.start))) {
      const unknown = sent.failed.filter((key) => key.startsWith("queue:")).length;
      const isRight = sent.matched <= places.size && places.size <= sent.matched + unknown;
      check(isRight || sent.isReturned, "matched", shown);
    }
  }
}

/** In each queue messages of one publisher are in the order in which they were published, where one waited for the other. */
export function checkOrder(world: RoutingWorld, census: Census): void {
  for (const [queue, arrivals] of census.queues) {
    const spans = world.model.queues.get(queue) ?? [];
    // Sequences begin anew with another queue of the name.
    if (spans.length > 1) continue;
    const latestStart = new Map<string, { start: number; id: string }>();
    for (const { id } of arrivals) {
      const sent = world.sent.get(id);
      if (sent === undefined || sent.delayMs > 0 || world.died.has(id) || sent.outcome !== "confirmed")
        continue;
      const key = `${sent.publisher} ${sent.exchange}`;
      const latest = latestStart.get(key);
      // One that begins after this one's confirm must not lie before it.
      const isInOrder = latest === undefined || latest.start <= sent.end;
      check(
        isInOrder,
        "order",
        () => `${queue}: ${latest!.id} lies before ${id}, which was confirmed earlier`,
      );
      if (latest === undefined || sent.start > latest.start) latestStart.set(key, { start: sent.start, id });
    }
  }
}

/** Dead letters and messages on a delay are never lost: in a queue, held, or on their way. */
export function checkHeld(world: RoutingWorld, census: Census): void {
  const { model } = world;
  const all = counts(census);
  const now = model.now();
  const held = new Set([...census.held.values()].flat());
  const moving = new Set(census.moving);
  for (const [id, [death]] of world.died) {
    const sent = world.sent.get(id);
    if (sent === undefined || death === undefined) continue;
    const firm = (model.queues.get(death.queue) ?? []).some((span) => span.must(death.tick, now));
    const exchanges = [...model.exchanges.keys()].every((name) =>
      model.exchanges.get(name)!.spans.some((span) => span.must(death.tick, now)),
    );
    const queues = [...model.queues.values()].every((spans) =>
      spans.some((span) => span.must(death.tick, now)),
    );
    if (!firm || !exchanges || !queues) continue;
    const isSomewhere = all.has(id) || held.has(id) || moving.has(id);
    check(isSomewhere, "held", () => `${id}, dead in ${death.queue}, is nowhere`);
  }
}
