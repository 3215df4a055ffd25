/** Runs a history of partitioned queues from a seed. */
import { Violation } from "../checkers.ts";
import { Random } from "../random.ts";
import { drawRoutingFaults, NO_FAULTS } from "../routing/faults.ts";
import type { Failure, Run } from "../routing/simulate.ts";
import { ACTS, Actors, disturb } from "./acts.ts";
import { takeStock } from "./quiet.ts";
import { PartitionsWorld } from "./world.ts";

/** The streams of a seed that belong to no step. */
const SETUP = -2;
const LOOP = -3;
const NEWER = -4;

/** `isPlain`: only with what the first simulations had, so that a seed that was kept stands for what it found. */
export async function simulatePartitions(
  seed: number,
  steps: readonly number[],
  { isPlain = false }: { readonly isPlain?: boolean } = {},
): Promise<Run> {
  const setup = new Random(seed, SETUP);
  const newer = isPlain ? null : new Random(seed, NEWER);
  const world = new PartitionsWorld(new Random(seed, LOOP), setup, NO_FAULTS, newer);
  const actors = new Actors(world);
  let at = -1;
  try {
    await declareAll(world);
    world.faults = drawRoutingFaults(setup);
    for (const step of steps) {
      at = step;
      await takeStep(actors, new Random(seed, step));
    }
    at = steps.length;
    await takeStock(actors);
    return { history: world.history, failure: null };
  } catch (error) {
    return { history: world.history, failure: failureOf(at, error) };
  } finally {
    world.close();
  }
}

async function declareAll(world: PartitionsWorld): Promise<void> {
  for (const [queue, config] of world.shape.queues) {
    world.say(`${queue}: ${JSON.stringify(config)}`);
    const declared = await world.finish("declare", world.queue(0, queue).declare(config));
    if (!declared.ok) throw new Error(declared.detail);
  }
}

async function takeStep(actors: Actors, random: Random): Promise<void> {
  const { world } = actors;
  disturb(world, random);
  const act = random.weighted(ACTS);
  const started = act(actors, random.between(0, world.shape.callers - 1), random);
  if (started !== null) {
    const [what, work] = started;
    world.start(what, () => work);
  }
  await world.run(
    random.weighted([
      [4, random.between(0, 6)],
      [2, random.between(6, 30)],
      [1, 60],
    ]),
  );
}

function failureOf(step: number, error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error && !(error instanceof Violation) ? `\n${error.stack}` : "";
  return { step, message: message + stack };
}
