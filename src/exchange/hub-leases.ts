/**
 * The hubs that have subscribers of this exchange. A hub renews its lease while it has any; one that is silent for
 * too long, or can't be reached, is dropped, and its subscribers get nothing more until they subscribe anew.
 *
 * Each attachment has a number. A hub that was dropped and attached again may not know it, since the answer to its call
 * can be lost; it sees by the number, which is told with every push, that it has missed something.
 */
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import type { HubLease, HubStore } from "./stores.ts";

export class HubLeases {
  private readonly store: HubStore;
  private readonly leases = new Map<string, HubLease>();
  private lastAttachment = 0;

  constructor(store: HubStore) {
    this.store = store;
    for (const lease of store.all()) {
      this.leases.set(lease.hub, lease);
      this.lastAttachment = Math.max(this.lastAttachment, lease.attachment);
    }
  }

  get size(): number {
    return this.leases.size;
  }

  names(): string[] {
    return [...this.leases.keys()];
  }

  /** The attachment of each hub. */
  attachments(): Pick<HubLease, "hub" | "attachment">[] {
    return [...this.leases.values()];
  }

  /** Renewing before half of the lease is over costs nothing. */
  attach(hub: string, nowMs: number): Result<{ attachment: number }> {
    const known = this.leases.get(hub);
    if (known === undefined && this.leases.size >= LIMITS.hubsMax) {
      return refuse("hub_full", `exchange: has its ${LIMITS.hubsMax} hubs`);
    }
    const attachment = known?.attachment ?? this.nextAttachment(nowMs);
    if (known === undefined || known.untilMs - nowMs < LIMITS.hubLeaseMs / 2) {
      const lease = { hub, attachment, untilMs: nowMs + LIMITS.hubLeaseMs };
      this.store.put(lease);
      this.leases.set(hub, lease);
    }
    return ok({ attachment });
  }

  /** Later than every one given before, also by an earlier exchange of this name. */
  private nextAttachment(nowMs: number): number {
    this.lastAttachment = Math.max(this.lastAttachment + 1, nowMs);
    return this.lastAttachment;
  }

  /** With an attachment: only if it is still that one. */
  detach(hub: string, attachment?: number): boolean {
    const known = this.leases.get(hub);
    if (known === undefined || (attachment ?? known.attachment) !== known.attachment) return false;
    this.leases.delete(hub);
    this.store.remove(hub);
    return true;
  }

  dropLapsed(nowMs: number): void {
    for (const { hub, untilMs } of this.leases.values()) if (untilMs <= nowMs) this.detach(hub);
  }

  nextLapseMs(): number | null {
    return this.leases.size === 0
      ? null
      : Math.min(...Array.from(this.leases.values(), ({ untilMs }) => untilMs));
  }
}
