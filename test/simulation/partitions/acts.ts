// What may happen next, each act drawn by its weight. None waits: it starts something that goes on between the others.
import type { Random } from "../random.ts";
import { receive } from "./consuming.ts";
import { Operators } from "./managing.ts";
import { Producer, publishOnce } from "./producing.ts";
import { RemoteConsumers } from "./remotes.ts";
import { DEAD, MAIN } from "./shape.ts";
import type { PartitionsWorld } from "./world.ts";

export class Actors {
  readonly world: PartitionsWorld;
  readonly operators: Operators;
  readonly remotes: RemoteConsumers;
  readonly producers: readonly Producer[];

  constructor(world: PartitionsWorld) {
    this.world = world;
    this.operators = new Operators(world);
    this.remotes = new RemoteConsumers(world);
    this.producers = ["p0", "p1", "p2"].map((name) => new Producer(world, name));
  }
}

type Act = (actors: Actors, caller: number, random: Random) => [what: string, work: Promise<void>] | null;

function anyQueue(random: Random): string {
  return random.chance(0.8) ? MAIN : DEAD;
}

const publish: Act = ({ world }, caller, random) => ["publish", publishOnce(world, caller, random)];

const produce: Act = ({ producers }, caller, random) => {
  const free = producers.filter(({ isBusy }) => !isBusy);
  return free.length === 0 ? null : ["produce", random.pick(free).publish(caller, random)];
};

const take: Act = ({ world }, caller, random) => {
  return ["receive", receive(world, caller, anyQueue(random), random)];
};

const attach: Act = ({ remotes }, caller, random) => {
  if (remotes.all().length >= 3) return null;
  return ["attach", remotes.attach(anyQueue(random), caller, random)];
};

const changeRemote: Act = ({ remotes }, _, random) => {
  const remote = remotes.any(random);
  if (remote === null) return null;
  return random.weighted<() => [string, Promise<void>]>([
    [2, () => ["renew", remotes.renewHub(remote).then(() => remotes.renew(remote))]],
    [1, () => ["credit", remotes.setCredit(remote, random.between(1, 6))]],
    [1, () => ["detach", remotes.detach(remote, random.pick(["released", "lost"] as const))]],
  ])();
};

const grow: Act = ({ operators }, caller, random) => {
  const queue = anyQueue(random);
  if (operators.partitionsOf(queue) >= 6) return null;
  const first = operators.grow(queue, caller, random);
  // More of them are wanted before the first are there.
  const second = random.chance(0.3) ? operators.grow(queue, 0, random) : null;
  return ["grow", Promise.all([first, second]).then(() => undefined)];
};

const configure: Act = ({ operators }, caller, random) => [
  "configure",
  operators.changeLease(anyQueue(random), caller),
];

const pause: Act = ({ operators }, caller, random) => {
  return ["pause", operators.pause(anyQueue(random), caller, random.chance(0.4)).then(() => undefined)];
};

const redrive: Act = ({ operators }, caller, random) => {
  return ["redrive", operators.redrive(random.pick([MAIN, DEAD]), caller, random)];
};

const purge: Act = ({ operators, world }, caller, random) => {
  return world.shape.purges ? ["purge", operators.purge(anyQueue(random), caller)] : null;
};

const resumeKey: Act = ({ operators, world }, caller, random) => {
  const key = `k${random.between(1, world.shape.keys)}`;
  return ["resume", operators.resumeKey(key, caller, random)];
};

const look: Act = ({ operators }, caller, random) => ["look", operators.inspect(anyQueue(random), caller)];

const forget: Act = ({ world }, caller) => {
  world.say(`caller ${caller} knows nothing any more`);
  world.forget(caller);
  return null;
};

export const ACTS: readonly (readonly [number, Act])[] = [
  [10, publish],
  [8, produce],
  [14, take],
  [2, attach],
  [2, changeRemote],
  [3, grow],
  [1, configure],
  [1, pause],
  [2, redrive],
  [1, purge],
  [2, resumeKey],
  [1, look],
  [1, forget],
];

/** What the platform does meanwhile. */
export function disturb(world: PartitionsWorld, random: Random): void {
  const hosts = world.cluster.all().filter(({ kind }) => kind === "queue");
  if (hosts.length > 0 && random.chance(world.faults.evict)) {
    const host = random.pick(hosts);
    world.say(`${host.label} is evicted`);
    host.evict("hibernate");
  }
  if (random.chance(0.02)) {
    const ms = random.pick([500, 5_000, 70_000, 400_000]);
    world.say(`the clock jumps ${ms} ms`);
    world.loop.nowMs += ms;
  }
}
