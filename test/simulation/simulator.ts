/**
 * Runs a history from a seed. Each step draws from a generator of its own, so that a failing history can be made
 * shorter by leaving steps out: those that stay do what they did.
 */
import { ACTS } from "./actors.ts";
import { drawRoles, withNewer } from "./configs.ts";
import { drawFaults } from "./faults.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

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
const DRAIN = -3;
const NEWER = -4;
/** The first of a step's second stream; the others go down from here. */
const NEWER_STEPS = -10;

export interface SimulationOptions {
  /** Only with what the first simulations had: a seed that was kept then stands for what it found. */
  readonly isPlain?: boolean;
}

export function simulate(
  seed: number,
  steps: readonly number[],
  { isPlain = false }: SimulationOptions = {},
): Run {
  const setup = new Random(seed, SETUP);
  const drawn = drawRoles(setup);
  const newer = new Random(seed, NEWER);
  const roles = isPlain ? drawn : drawn.map((role) => withNewer(role, newer));
  const world = new World(roles, drawFaults(setup), setup.pick([0, 0.5, 0.999]));
  let at = -1;
  try {
    for (const step of steps) {
      at = step;
      world.newer = isPlain ? null : new Random(seed, NEWER_STEPS - step);
      takeStep(world, new Random(seed, step), roles);
    }
    at = steps.length;
    world.newer = null;
    world.drain(new Random(seed, DRAIN));
    return { history: world.history, failure: null };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const place = error instanceof Error && error.constructor === Error ? `\n${error.stack}` : "";
    return { history: world.history, failure: { step: at, message: message + place } };
  } finally {
    world.close();
  }
}

function takeStep(world: World, random: Random, roles: ReturnType<typeof drawRoles>): void {
  passTime(world, random);
  const sites = [...world.sites.values()];
  const isProduced = random.chance(0.75);
  const site = isProduced
    ? world.site(random.weighted(roles.map((role) => [role.weight + 0.5, role.name] as const)))
    : random.pick(sites);
  if (random.chance(world.faults.evictProbability)) world.evict(site);
  if (random.chance(world.faults.crashProbability)) {
    const sockets = [...site.core.sockets.values()];
    world.evict(
      site,
      sockets.filter(() => random.chance(0.7)),
    );
  }
  random.weighted(ACTS)(world, site, random);
}

function passTime(world: World, random: Random): void {
  const { clockJumpProbability, clockJumpMsMax, clockBackwards } = world.faults;
  if (random.chance(clockJumpProbability)) {
    const jump = random.between(1, clockJumpMsMax);
    world.nowMs += clockBackwards && random.chance(0.5) ? -jump : jump;
    return;
  }
  const edges = random.chance(0.12) ? world.edges() : [];
  if (edges.length > 0) {
    // Just before, at, or just after the moment at which something is due.
    world.nowMs = Math.max(world.nowMs, random.pick(edges) + random.between(-1, 1));
    return;
  }
  world.nowMs += random.weighted([
    [5, 0],
    [6, random.between(1, 20)],
    [3, random.between(20, 300)],
    [1, random.between(300, 3_000)],
  ]);
}

export function firstSteps(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Leaves out steps, in ever smaller pieces, as long as the same rule is still broken. */
export function shrink(
  seed: number,
  steps: readonly number[],
  failure: Failure,
  options: SimulationOptions = {},
  runsMax = 400,
): number[] {
  const rule = ruleOf(failure);
  let kept = steps.filter((step) => step <= failure.step);
  let runs = 0;
  for (let size = Math.ceil(kept.length / 2); size >= 1 && runs < runsMax; size = Math.floor(size / 2)) {
    for (let from = kept.length - size; from > -size && runs < runsMax; from -= size) {
      const fewer = [...kept.slice(0, Math.max(0, from)), ...kept.slice(Math.max(0, from) + size)];
      runs++;
      const again = simulate(seed, fewer, options).failure;
      if (again && ruleOf(again) === rule) kept = fewer;
    }
  }
  return kept;
}

function ruleOf(failure: Failure): string {
  return failure.message.split(":")[0]!;
}

/** The line that repeats a failure. */
export function replayLine(
  seed: number,
  failure: Failure,
  { isPlain = false }: SimulationOptions = {},
): string {
  return `npm run sim -- --seed ${seed} --steps ${failure.step + 1}${isPlain ? " --plain" : ""}`;
}
