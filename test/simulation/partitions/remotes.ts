// Consumers whose sockets are on hubs, at every partition: what a hub does with deliveries, without the hub.
import type { RemoteDelivery } from "../../../src/protocol/rpc.ts";
import { ok } from "../../../src/protocol/result.ts";
import type { Random } from "../random.ts";
import { settleDelivery } from "./consuming.ts";
import type { PartitionsWorld } from "./world.ts";

interface Remote {
  readonly session: number;
  readonly hub: string;
  readonly queue: string;
  readonly caller: number;
  credit: number;
  ids: readonly number[];
}

export class RemoteConsumers {
  private readonly world: PartitionsWorld;
  private readonly remotes = new Map<number, Remote>();
  private attaching = 0;
  private sessions = 0;

  constructor(world: PartitionsWorld) {
    this.world = world;
    world.deliver = async (queue, deliveries) => {
      const gone = deliveries.filter((one) => !this.give(queue, one)).map(({ id }) => id);
      return ok({ gone });
    };
  }

  any(random: Random): Remote | null {
    return this.remotes.size === 0 ? null : random.pick([...this.remotes.values()]);
  }

  async attach(queue: string, caller: number, random: Random): Promise<void> {
    const session = ++this.sessions;
    const hub = String(random.between(0, this.world.shape.hubs - 1));
    const remote: Remote = { session, hub, queue, caller, credit: random.between(1, 5), ids: [] };
    this.remotes.set(session, remote);
    await this.renew(remote);
  }

  /** Sets everything anew, at partitions that were added too. One that a queue has lost is gone from all. */
  async renew(remote: Remote): Promise<void> {
    const { session, hub, queue, caller, credit, ids } = remote;
    const wish = {
      hub,
      session,
      subject: "",
      name: `r${session}`,
      credit,
      ...(ids.length === 0 ? {} : { ids }),
    };
    this.attaching++;
    const answer = await this.world.ask(`attach r${session} to ${queue}`, () =>
      this.world.queue(caller, queue).attachRemote(wish),
    );
    this.attaching--;
    if (answer?.ok) {
      this.world.say(`r${session} consumes ${queue} as ${answer.value.ids.join()}`);
      if (this.remotes.has(session)) remote.ids = answer.value.ids;
    } else if (answer !== null || ids.length === 0) await this.detach(remote, "lost");
  }

  /** As a hub does by its alarm. Who attaches or detaches just now may or may not be among them. */
  async renewHub({ hub, queue, caller }: Remote): Promise<void> {
    const own = this.all().filter((one) => one.hub === hub && one.queue === queue && one.ids.length > 0);
    const held = own.map(({ session, ids }) => ({ session, ids }));
    const answer = await this.world.ask(`renew ${hub} at ${queue}`, () =>
      this.world.queue(caller, queue).renewRemotes(hub, held),
    );
    if (answer?.ok !== true) return;
    const gone = new Set(answer.value.gone);
    for (const [i, remote] of own.entries()) {
      const { ids } = held[i]!;
      if (this.remotes.get(remote.session) !== remote) continue;
      if (ids.some((id) => gone.has(id))) await this.detach(remote, "released");
      else if (ids.length < answer.value.partitions) await this.renew(remote);
    }
  }

  async detach(remote: Remote, how: "released" | "lost"): Promise<void> {
    this.remotes.delete(remote.session);
    const { queue, caller, ids } = remote;
    if (ids.length === 0) return;
    await this.world.ask(`detach r${remote.session}`, () =>
      this.world.queue(caller, queue).detachRemote(ids, how),
    );
  }

  async setCredit(remote: Remote, credit: number): Promise<void> {
    remote.credit = credit;
    if (remote.ids.length === 0) return;
    await this.world.ask(`credit of r${remote.session}`, () =>
      this.world.queue(remote.caller, remote.queue).changeRemote(remote.ids, { credit }),
    );
  }

  all(): Remote[] {
    return [...this.remotes.values()];
  }

  private give(queue: string, { id, session, delivery, ended, isSpread }: RemoteDelivery): boolean {
    const { world } = this;
    const remote = this.remotes.get(session);
    if (remote === undefined || (!remote.ids.includes(id) && this.attaching === 0)) return false;
    // What follows is not the hub's: it outlives a call that fails.
    world.loop.later(0, () => {
      if (isSpread === true) world.start("renewal", () => this.renew(remote));
      if (ended !== undefined) world.start("detachment", () => this.detach(remote, "released"));
      if (delivery !== undefined) world.start("settlement", () => settleDelivery(world, queue, delivery));
    });
    return true;
  }
}
