/**
 * The hubs that have subscribers of this exchange. A hub renews its lease while it has any; one that is silent for
 * too long, or can't be reached, is dropped, and its subscribers get nothing more until they subscribe anew.
 */
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import type { HubStore } from "./stores.ts";

export class HubLeases {
  private readonly store: HubStore;
  private readonly untilMs = new Map<string, number>();

  constructor(store: HubStore) {
    this.store = store;
    for (const { hub, untilMs } of store.all()) this.untilMs.set(hub, untilMs);
  }

  get size(): number {
    return this.untilMs.size;
  }

  names(): string[] {
    return [...this.untilMs.keys()];
  }

  has(hub: string): boolean {
    return this.untilMs.has(hub);
  }

  /** Renewing before half of the lease is over costs nothing. `isNew`: it was not attached just before. */
  attach(hub: string, nowMs: number): Result<{ isNew: boolean }> {
    const known = this.untilMs.get(hub);
    if (known === undefined && this.untilMs.size >= LIMITS.hubsMax) {
      return refuse("hub_full", `exchange: has its ${LIMITS.hubsMax} hubs`);
    }
    if (known === undefined || known - nowMs < LIMITS.hubLeaseMs / 2) {
      const untilMs = nowMs + LIMITS.hubLeaseMs;
      this.store.put(hub, untilMs);
      this.untilMs.set(hub, untilMs);
    }
    return ok({ isNew: known === undefined });
  }

  detach(hub: string): boolean {
    if (!this.untilMs.delete(hub)) return false;
    this.store.remove(hub);
    return true;
  }

  dropLapsed(nowMs: number): void {
    for (const [hub, untilMs] of this.untilMs) if (untilMs <= nowMs) this.detach(hub);
  }

  nextLapseMs(): number | null {
    return this.untilMs.size === 0 ? null : Math.min(...this.untilMs.values());
  }
}
