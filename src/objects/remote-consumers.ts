/**
 * Carries deliveries to consumers whose socket is on a hub. One call to each hub at a time; what is dispatched
 * meanwhile goes with the next. A hub that does not answer, or says that a consumer is gone, loses it: what the
 * consumer held goes back to its place, and whoever settles it after that is refused, should it have arrived.
 */
import type { HubApi } from "../protocol/exchange-rpc.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { RemoteDelivery } from "../protocol/rpc.ts";
import type { Dispatched } from "../queue/consumers.ts";
import type { Queue } from "../queue/queue.ts";
import type { RemoteRow } from "../queue/stores.ts";
import { CallLanes } from "./call-lane.ts";

export interface RemotePorts {
  readonly queue: string;
  hub(name: string): Pick<HubApi, "deliver">;
  /** These are gone: detaches them in a turn of its own. */
  lose(ids: readonly number[]): Promise<void>;
}

export class RemoteConsumers {
  private readonly ports: RemotePorts;
  private readonly lanes: CallLanes<RemoteDelivery, null>;

  constructor(ports: RemotePorts) {
    this.ports = ports;
    this.lanes = new CallLanes(async (hub, deliveries) => {
      const gone = (await this.deliver(hub, deliveries)) ?? this.giveUp(hub, deliveries);
      if (gone.length > 0) await this.lose(hub, gone);
      return deliveries.map(() => null);
    });
  }

  /** After a turn is stored. What is no remote consumer's is left to others. */
  afterTurn(queue: Queue, dispatched: readonly Dispatched[]): void {
    for (const { consumer, delivery } of dispatched) {
      const remote = queue.remote(consumer.id);
      if (remote) this.send(remote.hub, { id: remote.id, session: remote.session, delivery });
    }
    this.tellEnded(queue.takeLapsedRemotes(), "lease_lost");
  }

  tellEnded(remotes: readonly RemoteRow[], ended: "queue_deleted" | "lease_lost"): void {
    for (const { hub, id, session } of remotes) this.send(hub, { id, session, ended });
  }

  tellSpread(remotes: readonly RemoteRow[]): void {
    for (const { hub, id, session } of remotes) this.send(hub, { id, session, isSpread: true });
  }

  /** Nobody waits for it: what becomes of it is settled by `gone` and by leases. */
  private send(hub: string, delivery: RemoteDelivery): void {
    void this.lanes.add(hub, delivery, delivery.delivery?.payload.byteLength ?? 0);
  }

  /** The consumers that are gone; null when the call failed. One that takes too long has failed, whatever follows. */
  private async deliver(
    hub: string,
    deliveries: readonly RemoteDelivery[],
  ): Promise<readonly number[] | null> {
    const { queue } = this.ports;
    const timer = new AbortController();
    try {
      const answer = await Promise.race([
        this.ports.hub(hub).deliver(queue, deliveries),
        scheduler.wait(LIMITS.hubPushMs, { signal: timer.signal }),
      ]);
      if (answer?.ok) return answer.value.gone;
      console.error("a hub took no deliveries", { queue, hub, code: answer?.code ?? "timeout" });
    } catch (error) {
      console.error("a hub took no deliveries", { queue, hub, error: String(error) });
    } finally {
      timer.abort();
    }
    return null;
  }

  /** The hub may be back before it would renew: it is told once what its consumers have lost. */
  private giveUp(hub: string, failed: readonly RemoteDelivery[]): number[] {
    const sessions = new Map<number, number>();
    for (const { id, session, ended } of failed) if (ended === undefined) sessions.set(id, session);
    for (const [id, session] of sessions) this.send(hub, { id, session, ended: "lease_lost" });
    return [...sessions.keys()];
  }

  private async lose(hub: string, ids: readonly number[]): Promise<void> {
    try {
      await this.ports.lose(ids);
    } catch (error) {
      // Rolled back: their leases run out by themselves.
      console.error("consumers were not detached", { queue: this.ports.queue, hub, error: String(error) });
    }
  }
}
