// Consuming: what is received is acked, given back, failed, held for longer or forgotten, each by chance.
import { deliveryToJson } from "../../../src/protocol/message-json.ts";
import type { Delivery, Settlement, Verdict } from "../../../src/protocol/commands.ts";
import { check } from "../checkers.ts";
import type { Random } from "../random.ts";
import { place } from "./truth.ts";
import { shown, type PartitionsWorld } from "./world.ts";

export async function receive(
  world: PartitionsWorld,
  caller: number,
  queue: string,
  random: Random,
): Promise<void> {
  const attemptId = random.chance(0.3) ? `a${world.truth.tick()}` : null;
  const command = {
    consumer: `c${caller}`,
    max: random.between(1, 6),
    ...(random.chance(0.3) ? { leaseMs: random.pick([1_000, 5_000, 60_000]) } : {}),
    ...(attemptId === null ? {} : { attemptId }),
    ...(world.newer?.chance(0.05) ? { leaseMs: 0 } : {}),
  };
  for (let tries = 0; tries < (attemptId === null ? 1 : 3); tries++) {
    const answer = await world.ask(`receive from ${queue}`, () =>
      world.queue(caller, queue).receive(command),
    );
    if (answer === null) continue;
    if (answer.ok) await settleDelivery(world, queue, answer.value);
    return;
  }
}

export async function settleDelivery(
  world: PartitionsWorld,
  queue: string,
  delivery: Delivery,
): Promise<void> {
  const { lease } = delivery;
  if (lease === 0) return;
  const settlements: Settlement[] = [];
  for (const { sequence } of deliveryToJson(delivery, world.codec)) {
    const settlement = drawSettlement(world);
    const late = settlement?.verdict === "ack" && world.newer?.chance(0.3) ? { late: true } : {};
    if (settlement !== null) settlements.push({ lease, sequences: [[sequence, 1]], ...settlement, ...late });
  }
  await world.wait(world.isQuiet ? 0 : world.random.pick([0, 0, 5, 400, 8_000, 40_000]));
  await settle(world, queue, settlements);
}

function drawSettlement(
  world: PartitionsWorld,
): { verdict: Verdict; delayMs?: number; dead?: boolean } | null {
  const { random } = world;
  if (world.isQuiet) return { verdict: "ack" };
  return random.weighted([
    [12, { verdict: "ack" as const }],
    [2, { verdict: "nack" as const }],
    [1, { verdict: "nack" as const, delayMs: random.pick([0, 1_000, 9_000]) }],
    [2, { verdict: "reject" as const }],
    [1, { verdict: "reject" as const, dead: true }],
    [1, { verdict: "extend" as const }],
    [2, null],
  ]);
}

/** Said again when there was no answer, with other words perhaps, as a consumer does that has lost its socket. */
async function settle(
  world: PartitionsWorld,
  queue: string,
  settlements: readonly Settlement[],
): Promise<void> {
  if (settlements.length === 0) return;
  for (let tries = 0; tries < 2; tries++) {
    const said = `settle in ${queue} ${settlements
      .map(({ sequences, verdict }) => `${verdict} ${shown(sequences![0]![0])}`)
      .join(", ")}`;
    const answer = await world.ask(said, () => world.queue(world.anyCaller(), queue).settle(settlements));
    if (answer === null) continue;
    if (!answer.ok) return;
    world.say(`${said}: done`);
    for (const [i, { settled, refused }] of answer.value.entries()) {
      const { sequences, verdict } = settlements[i]!;
      check(settled + refused.length > 0, "answers", () => `${said}: nothing is said of ${i}`);
      const isAcked = verdict === "ack" && settled > 0;
      const isTrue = !isAcked || world.truth.acked.has(place(queue, sequences![0]![0]));
      check(isTrue, "answers", () => `${said}: ${i} is answered as settled, and is not`);
    }
    return;
  }
}
