/** Runs a history of routing and live subscriptions from a seed. */
import { Violation } from "../checkers.ts";
import { Random } from "../random.ts";
import { ACTS, disturb } from "./acts.ts";
import { takeCensus } from "./census.ts";
import { drawRoutingFaults, NO_FAULTS } from "./faults.ts";
import { bind, declare } from "./manage.ts";
import { drawBinding } from "./shape.ts";
import { RoutingWorld } from "./world.ts";

export interface Failure {
  readonly step: number;
  readonly message: string;
}

export interface Run {
  readonly history: readonly string[];
  readonly failure: Failure | null;
}

/** The streams of a seed that belong to no step. */
const SETUP = -2;
const LOOP = -3;
const END = -4;

export async function simulateRouting(seed: number, steps: readonly number[]): Promise<Run> {
  const setup = new Random(seed, SETUP);
  const world = new RoutingWorld(new Random(seed, LOOP), setup, NO_FAULTS);
  let at = -1;
  try {
    await build(world, setup);
    world.faults = drawRoutingFaults(setup);
    for (const step of steps) {
      at = step;
      const random = new Random(seed, step);
      disturb(world, random);
      random.weighted(ACTS)(world, random);
      await world.run(
        random.weighted([
          [4, random.between(0, 6)],
          [2, random.between(6, 30)],
          [1, 80],
        ]),
      );
    }
    at = steps.length;
    await takeCensus(world, new Random(seed, END));
    return { history: world.history, failure: null };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const place = error instanceof Error && !(error instanceof Violation) ? `\n${error.stack}` : "";
    return { history: world.history, failure: { step: at, message: message + place } };
  } finally {
    world.close();
  }
}

/** What there is at first. */
async function build(world: RoutingWorld, random: Random): Promise<void> {
  const exchanges = [...world.shape.exchanges.keys()];
  const queues = [...world.shape.queues.keys()];
  const work = (async () => {
    for (const name of exchanges) await declare(world, "exchange", name);
    for (const name of queues) await declare(world, "queue", name);
    for (let i = random.between(1, 8); i > 0; i--) {
      const from = random.pick(exchanges);
      const destination = random.chance(0.6)
        ? { queue: random.pick(queues) }
        : { exchange: random.pick(exchanges) };
      await bind(world, from, drawBinding(world.exchangeConfig(from).kind, destination, random));
    }
  })();
  await world.runFor(5_000);
  await work;
}
