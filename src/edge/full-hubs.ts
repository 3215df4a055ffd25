// Which hubs said that they are full. Sessions come and go, so this is believed for a minute only.
import { LIMITS } from "../protocol/limits.ts";
import { objectName } from "../protocol/names.ts";
import { RecentMap } from "./recent-map.ts";

const BELIEVED_MS = 60_000;
const REMEMBERED_MAX = 10_000;

/** Hubs are named by the numbers from 0 on, in the order in which they fill. */
const HUBS: readonly string[] = Array.from({ length: LIMITS.hubsMax }, (_, number) => String(number));

export class FullHubs {
  private readonly fullUntilMs = new RecentMap<number>(REMEMBERED_MAX);

  note(namespace: string, hub: string, nowMs: number): void {
    this.fullUntilMs.set(objectName(namespace, hub), nowMs + BELIEVED_MS);
  }

  /** The namespace's hubs that may have room, in the order in which they are to be tried. */
  candidates(namespace: string, nowMs: number): string[] {
    return HUBS.filter((hub) => (this.fullUntilMs.get(objectName(namespace, hub)) ?? 0) <= nowMs);
  }
}
