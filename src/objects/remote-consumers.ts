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

/** Of the payloads in one call. An argument may have 32 MiB; a delivery has one at the most. */
const CALL_BYTES_MAX = 8 * 1024 * 1024;

export interface RemotePorts {
  readonly queue: string;
  hub(name: string): Pick<HubApi, "deliver">;
  /** These are gone: detaches them in a turn of its own. */
  lose(ids: readonly number[]): Promise<void>;
}

export class RemoteConsumers {
  private readonly ports: RemotePorts;
  private readonly waiting = new Map<string, RemoteDelivery[]>();
  private readonly calling = new Set<string>();

  constructor(ports: RemotePorts) {
    this.ports = ports;
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

  private send(hub: string, delivery: RemoteDelivery): void {
    const waiting = this.waiting.get(hub);
    if (waiting) waiting.push(delivery);
    else this.waiting.set(hub, [delivery]);
    if (!this.calling.has(hub)) void this.callHub(hub);
  }

  private async callHub(hub: string): Promise<void> {
    this.calling.add(hub);
    // What the rest of this turn sends goes with it.
    await Promise.resolve();
    for (let next = this.take(hub); next.length > 0; next = this.take(hub)) {
      const gone = (await this.deliver(hub, next)) ?? this.giveUp(hub, next);
      if (gone.length > 0) await this.lose(hub, gone);
    }
    this.calling.delete(hub);
  }

  private take(hub: string): RemoteDelivery[] {
    const waiting = this.waiting.get(hub) ?? [];
    let bytes = 0;
    let count = 0;
    for (const { delivery } of waiting) {
      bytes += delivery?.payload.byteLength ?? 0;
      if (count > 0 && bytes > CALL_BYTES_MAX) break;
      count++;
    }
    const taken = waiting.splice(0, count);
    if (waiting.length === 0) this.waiting.delete(hub);
    return taken;
  }

  /** The hub may be back before it would renew: it is told once what its consumers have lost. */
  private giveUp(hub: string, failed: readonly RemoteDelivery[]): number[] {
    const sessions = new Map<number, number>();
    for (const { id, session, ended } of failed) if (ended === undefined) sessions.set(id, session);
    for (const [id, session] of sessions) this.send(hub, { id, session, ended: "lease_lost" });
    return [...sessions.keys()];
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

  private async lose(hub: string, ids: readonly number[]): Promise<void> {
    try {
      await this.ports.lose(ids);
    } catch (error) {
      // Rolled back: the leases run out by themselves.
      console.error("consumers were not detached", {
        queue: this.ports.queue,
        hub,
        error: String(error),
      });
    }
  }
}
