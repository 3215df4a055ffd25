// Consumers whose sockets are on hubs, at every partition of a queue. Each has an id of its own at each of them.
import { ok, type Result } from "../protocol/result.ts";
import type { HeldRemote, RemoteConsumer } from "../protocol/rpc.ts";
import { creditOf } from "./merge.ts";
import type { Parts, PartsPorts } from "./parts.ts";
import { isStale } from "./publishing.ts";

export interface Attached {
  readonly ids: readonly number[];
  readonly active: boolean;
  readonly leaseMs: number;
}

export interface Renewed {
  readonly gone: readonly number[];
  readonly partitions: number;
}

export class WholeRemotes {
  private readonly parts: Parts;
  private readonly ports: PartsPorts;

  constructor(parts: Parts, ports: PartsPorts) {
    this.parts = parts;
    this.ports = ports;
  }

  attach(consumer: RemoteConsumer): Promise<Result<Attached>> {
    return this.parts.under(async ({ partitions }) => {
      const { ids: before = [], credit, ...rest } = consumer;
      const ids: number[] = [];
      let last: Attached | null = null;
      let active = false;
      // One after the other, so that of two that want the queue for themselves one gets all of it.
      for (let i = 0; i < partitions; i++) {
        const known = before[i];
        const wish = { ...rest, ...(known === undefined ? {} : { ids: [known] }) };
        const attached = await this.ports
          .part(i)
          .attachRemote({ ...wish, credit: creditOf(credit, i, partitions) }, partitions);
        if (!attached.ok) {
          // Where it is refused for the layout it is tried again: only what is new is taken back.
          await this.detachFrom(isStale(attached) ? before.length : 0, ids, partitions);
          return attached;
        }
        last = attached.value;
        ids.push(...attached.value.ids);
        active ||= attached.value.active;
      }
      return ok({ ids, active, leaseMs: last!.leaseMs });
    });
  }

  renew(hub: string, held: readonly HeldRemote[]): Promise<Result<Renewed>> {
    return this.parts.under(async ({ partitions }) => {
      const asked = Array.from({ length: partitions }, (_, i) => {
        const own = held.flatMap(({ session, ids }) =>
          ids[i] === undefined ? [] : [{ session, ids: [ids[i]] }],
        );
        return this.ports.part(i).renewRemotes(hub, own, partitions);
      });
      const gone: number[] = [];
      for (const answer of await Promise.all(asked)) {
        if (!answer.ok) return answer;
        gone.push(...answer.value.gone);
      }
      return ok({ gone, partitions });
    });
  }

  private async detachFrom(first: number, ids: readonly number[], partitions: number): Promise<void> {
    const added = [...ids.entries()].filter(([i]) => i >= first);
    await Promise.all(added.map(([i, id]) => this.ports.part(i).detachRemote([id], "released", partitions)));
  }

  /** Where a consumer is not attached yet, it will be with the credit that it has then. */
  change(ids: readonly number[], credit: number): Promise<Result<void>> {
    return this.parts.under(async ({ partitions }) => {
      const asked = ids.map((id, i) =>
        this.ports.part(i).changeRemote([id], { credit: creditOf(credit, i, partitions) }, partitions),
      );
      const answers = await Promise.all(asked);
      return answers.find((answer) => !answer.ok) ?? ok(undefined);
    });
  }

  detach(ids: readonly number[], how: "released" | "lost"): Promise<Result<void>> {
    return this.parts.under(async ({ partitions }) => {
      const asked = ids.map((id, i) => this.ports.part(i).detachRemote([id], how, partitions));
      const answers = await Promise.all(asked);
      return answers.find((answer) => !answer.ok) ?? ok(undefined);
    });
  }
}
