// Publishing, at the edge and through the SDK, and consuming: what was sent is noted, and what is known of it.
import { RouteError } from "../../../src/client/exchange-publisher.ts";
import { isMillraceError } from "../../../src/client/errors.ts";
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import type { RouteConfirm } from "../../../src/protocol/exchange-commands.ts";
import { deliveryToJson } from "../../../src/protocol/message-json.ts";
import { indexesOf } from "../../../src/protocol/runs.ts";
import { destinationKey } from "../../../src/routing/explain.ts";
import type { Random } from "../random.ts";
import { encodeBatch } from "../facts.ts";
import { arrivalKey, arrivalOf, type Arrival } from "./holdings.ts";
import { drawMessage } from "./shape.ts";
import type { RoutingWorld, Sent } from "./world.ts";

export interface PublishPlan {
  readonly exchange: string;
  readonly publisher: string;
  readonly isMandatory: boolean;
  readonly delayMs: number;
}

function note(
  world: RoutingWorld,
  { exchange, publisher, isMandatory, delayMs }: PublishPlan,
  random: Random,
): Sent {
  const order = ++world.published;
  const sent: Sent = {
    id: `m${order}`,
    exchange,
    message: drawMessage(random),
    delayMs,
    publisher,
    order,
    isMandatory,
    start: world.model.now(),
    end: Number.POSITIVE_INFINITY,
    outcome: "pending",
    matched: 0,
    failed: [],
    isReturned: false,
    isDelayed: false,
  };
  world.sent.set(sent.id, sent);
  return sent;
}

/** Empty bodies take last values away, large ones make subscribers slow. */
function drawBody(random: Random): Uint8Array {
  return new Uint8Array(
    random.weighted([
      [1, 0],
      [6, 20],
      [2, 700],
    ]),
  );
}

function recordOf({ id, message, delayMs, publisher }: Sent, random: Random): MessageRecord {
  const { routingKey, headers } = message;
  return {
    routingKey,
    correlationId: id,
    body: publisher === "last" ? new Uint8Array(9) : drawBody(random),
    ...(headers === undefined ? {} : { headers }),
    ...(delayMs === 0 ? {} : { delayMs }),
  };
}

function end(world: RoutingWorld, sent: Sent, outcome: Sent["outcome"]): void {
  sent.outcome = outcome;
  // What is in doubt may still happen.
  if (outcome !== "unknown") sent.end = world.model.now();
  // One on a delay is promised to queues; it becomes an event later, when nobody waits for it.
  const isPromised = outcome === "confirmed" && sent.failed.length === 0 && !sent.isDelayed;
  if (isPromised) world.truth.confirmed.add(sent.id);
}

/** A batch at the edge. */
export async function publishBatch(
  world: RoutingWorld,
  plan: PublishPlan,
  count: number,
  random: Random,
): Promise<void> {
  const all = Array.from({ length: count }, () => {
    const isDelayed = plan.delayMs > 0 && random.chance(0.6);
    return note(world, { ...plan, delayMs: isDelayed ? plan.delayMs : 0 }, random);
  });
  const batch = encodeBatch(
    world.codec,
    all.map((sent) => recordOf(sent, random)),
  );
  const names = `${all[0]!.id}${count > 1 ? `…${all.at(-1)!.id}` : ""}`;
  world.say(`${plan.publisher} publishes ${names} to ${plan.exchange}`);
  try {
    const answer = await world.cluster
      .exchange(plan.exchange)
      .publish({ batch, mandatory: plan.isMandatory });
    if (answer.ok) confirm(world, all, answer.value);
    else {
      const isInDoubt = answer.code === "unavailable" || answer.code === "internal";
      for (const sent of all) end(world, sent, isInDoubt ? "unknown" : "refused");
    }
    world.say(`${names}: ${answer.ok ? JSON.stringify(answer.value) : answer.code}`);
  } catch (error) {
    world.say(`${names}: ${String(error)}`);
    for (const sent of all) end(world, sent, "unknown");
  }
}

function confirm(world: RoutingWorld, all: readonly Sent[], told: RouteConfirm): void {
  for (const [i, sent] of all.entries()) {
    sent.matched = told.matched[i]!;
    sent.isDelayed = [...indexesOf(told.delayed)].includes(i);
    sent.isReturned = [...indexesOf(told.returned)].includes(i);
    sent.failed = told.failed
      .filter(({ messages }) => [...indexesOf(messages)].includes(i))
      .map(({ destination }) => destinationKey(destination));
    end(world, sent, "confirmed");
  }
}

/** One message through the SDK: those of one turn travel together. */
export async function publishOne(world: RoutingWorld, plan: PublishPlan, random: Random): Promise<void> {
  const sent = note(world, plan, random);
  const { routingKey, correlationId, body, ...options } = recordOf(sent, random);
  world.say(`${plan.publisher} sends ${sent.id} to ${plan.exchange}`);
  try {
    const routed = await world
      .client(plan.publisher)
      .exchange(plan.exchange)
      .publish(routingKey!, body, { ...options, correlationId: correlationId!, mandatory: plan.isMandatory });
    sent.matched = routed.matched;
    sent.isDelayed = routed.delayed;
    end(world, sent, "confirmed");
    world.say(`${sent.id}: ${JSON.stringify(routed)}`);
  } catch (error) {
    world.say(`${sent.id}: ${String(error)}`);
    judge(world, sent, error);
  }
}

const REFUSED = new Set(["exchange_not_found", "exchange_busy", "exchange_internal", "forbidden"]);

function judge(world: RoutingWorld, sent: Sent, error: unknown): void {
  if (error instanceof RouteError) {
    sent.matched = error.matched;
    sent.failed = error.failures.map(({ destination }) => destinationKey(destination));
    return end(world, sent, "confirmed");
  }
  if (!isMillraceError(error)) throw error;
  if (error.code === "unroutable") {
    sent.isReturned = true;
    return end(world, sent, "confirmed");
  }
  const isRefused = REFUSED.has(error.code) || error.facts["outcome"] === "not_published";
  end(world, sent, isRefused ? "refused" : "unknown");
}

/** Takes some messages of a queue, and acks them or lets them die. */
export async function consume(
  world: RoutingWorld,
  queue: string,
  isRejecting: boolean,
  max: number,
): Promise<void> {
  const api = world.cluster.queue(queue);
  try {
    const delivery = await api.receive({ consumer: "worker", max });
    if (!delivery.ok || delivery.value.lease === 0) return;
    const messages = deliveryToJson(delivery.value, world.codec);
    const taken = world.taken.get(queue) ?? new Map<string, Arrival>();
    world.taken.set(queue, taken);
    for (const one of messages) taken.set(arrivalKey(one), arrivalOf(one));
    if (isRejecting) {
      for (const { correlationId = "" } of messages) {
        const deaths = world.died.get(correlationId) ?? [];
        world.died.set(correlationId, [...deaths, { queue, tick: world.model.now() }]);
      }
    }
    const { lease } = delivery.value;
    const settlement = isRejecting
      ? { lease, verdict: "reject" as const, dead: true }
      : { lease, verdict: "ack" as const };
    await api.settle([settlement]);
    const names = messages.map(({ correlationId }) => correlationId).join();
    world.say(`${queue} ${settlement.verdict} ${names}`);
  } catch (error) {
    world.say(`${queue}: ${String(error)}`);
  }
}
