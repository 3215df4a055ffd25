// The invariants of events that are seen at the end: last values, history, presence.
import type { ReplayAnswer } from "../../../src/protocol/exchange-commands.ts";
import { readRecord } from "../../../src/protocol/record.ts";
import { indexesOf } from "../../../src/protocol/runs.ts";
import { overlaps } from "../../../src/routing/topic.ts";
import { check } from "../checkers.ts";
import type { TrueEvent } from "./truth.ts";
import type { RoutingWorld } from "./world.ts";

/** The last event of each topic of the present numbering, and no more history than was asked for. */
export async function checkLastValues(world: RoutingWorld): Promise<void> {
  for (const name of world.shape.exchanges.keys()) {
    const api = world.cluster.exchange(name);
    const info = await api.inspect();
    if (!info.ok) continue;
    const { epoch, config, historyEvents, lastValues } = info.value;
    check(historyEvents <= config.history.eventsMax, "history", () => `${name} keeps ${historyEvents}`);
    check(lastValues <= config.lastValuesMax, "last values", () => `${name} keeps ${lastValues}`);
    const answer = await api.replay({ pattern: "#", lastValues: true });
    if (!answer.ok || answer.value.recovery === "gap" || config.lastValuesMax < 20) continue;
    const expected = new Map<string, TrueEvent>();
    for (const event of world.truth.events(name, epoch)) expected.set(event.topic, event);
    for (const [topic, { isEmpty }] of expected) if (isEmpty) expected.delete(topic);
    // What is kept in memory is less.
    if (!config.durable) continue;
    const is = idsOf(world, answer.value).sort().join();
    const must = [...expected.values()]
      .map(({ id }) => id)
      .sort()
      .join();
    check(is === must, "last values", () => `${name}: is ${is}, must be ${must}`);
  }
}

function idsOf(world: RoutingWorld, { snapshot }: ReplayAnswer): string[] {
  return snapshot.flatMap(({ batch, offsets }) => {
    const scanned = world.codec.scan(batch, "broker");
    if (!scanned.ok) throw new Error(scanned.detail);
    const table = scanned.value;
    return [...indexesOf(offsets)].map((_, i) => readRecord(batch, table.offset(i)).correlationId ?? "");
  });
}

/** What the exchange says of its subscribers is what there is. */
export async function checkPresence(world: RoutingWorld): Promise<void> {
  for (const name of world.shape.exchanges.keys()) {
    const answer = await world.cluster.exchange(name).presence("#");
    if (!answer.ok) continue;
    const open = world.watchers.filter(
      ({ exchange, pattern, subscription }) =>
        exchange === name && subscription.state === "live" && overlaps(pattern, "#"),
    );
    const { subscriptions } = answer.value;
    check(
      subscriptions === open.length,
      "presence",
      () => `${name}: ${subscriptions}, must be ${open.length}`,
    );
  }
}
