// Which messages were there before, by their dedup ids: in an earlier turn, as storage tells, or in this one.
import { FIELD, type RecordTable } from "../protocol/batch.ts";
import type { Publisher } from "../protocol/commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { QueueConfig } from "../protocol/queue-config.ts";
import { bareKey } from "../protocol/own-keys.ts";
import { readRecord } from "../protocol/record.ts";
import { configOf, type QueueContext } from "./context.ts";
import type { Place } from "./plan.ts";
import { dedupNames, heldDedupName } from "./publishers.ts";

/** A batch's dedup ids, by the indexes of its records. */
export interface DedupIds {
  /** As they are stored. */
  readonly ids: ReadonlyMap<number, string>;
  /** Of those seen before: the first one's sequence, its place in this turn, or its id where it is in the same batch. */
  readonly firsts: ReadonlyMap<number, Place | number | string>;
}

/** What has an id of its own was accepted once already, in the queue it comes from, and is no duplicate of anything. */
function isDeduplicated(flags: number): boolean {
  return (flags & (FIELD.dedupId | FIELD.id)) === FIELD.dedupId;
}

type DedupScope = QueueConfig["dedupScope"];

/** What two duplicates have in common. Its length tells where a key ends, whatever is in it. */
function inScope(scope: DedupScope, dedupId: string, orderingKey: string): string {
  return scope === "queue" ? dedupId : `${orderingKey.length}:${orderingKey}${dedupId}`;
}

export class Dedups {
  private readonly queue: QueueContext;
  private readonly nowMs: number;
  /** Of a message that leaves in this turn: its id counts as forgotten. */
  private readonly replaced: number | null;
  private readonly places = new Map<string, Place>();

  constructor(queue: QueueContext, nowMs: number, replaced: number | null) {
    this.queue = queue;
    this.nowMs = nowMs;
    this.replaced = replaced;
  }

  /** `isHeld`: an exchange held the messages, and their ids tell whose they are. */
  find(batch: Uint8Array, table: RecordTable, publisher: Publisher | undefined, isHeld: boolean): DedupIds {
    const config = configOf(this.queue);
    const ownOf = dedupNames(config, publisher);
    const scope = configOf(this.queue).dedupScope;
    const before = this.scopeBefore();
    const ids = new Map<number, string>();
    const firsts = new Map<number, Place | number | string>();
    const own = new Set<string>();
    for (let i = 0; i < table.count; i++) {
      if (!isDeduplicated(table.flags(i))) continue;
      const { dedupId: given = "", orderingKey = "" } = readRecord(batch, table.offset(i));
      const dedupId = isHeld ? bareKey(given) : given;
      const nameOf = isHeld ? (name: string) => heldDedupName(config, given, name) : ownOf;
      const shared = inScope(scope, dedupId, orderingKey);
      const id = nameOf(shared);
      ids.set(i, id);
      const earlier = before === null ? null : inScope(before, dedupId, orderingKey);
      const first =
        this.places.get(id) ??
        this.stored(id, shared) ??
        (own.has(id) ? id : null) ??
        (earlier === null ? null : this.stored(nameOf(earlier), earlier));
      if (first === null) own.add(id);
      else firsts.set(i, first);
    }
    return { ids, firsts };
  }

  /**
   * The scope that ids may still be remembered under: a change holds for new messages only. Null: there is none, for the
   * configuration was not changed lately.
   */
  private scopeBefore(): DedupScope | null {
    const { changedMs } = this.queue.stored;
    if (changedMs === undefined || changedMs + LIMITS.dedupWindowMsMax <= this.nowMs) return null;
    return configOf(this.queue).dedupScope === "queue" ? "key" : "queue";
  }

  /** What was stored for everyone counts too: as ids were before they were each subject's own. */
  private stored(id: string, shared: string): number | null {
    const stored = this.queue.stores.identities.dedup(id, shared);
    return stored !== null && stored.untilMs > this.nowMs && stored.sequence !== this.replaced
      ? stored.sequence
      : null;
  }

  placeOf(id: string): Place {
    return this.places.get(id)!;
  }

  note(id: string, place: Place): void {
    this.places.set(id, place);
  }

  /** Once all sequences are known. */
  store(): void {
    const untilMs = this.nowMs + configOf(this.queue).dedupWindowMs;
    for (const [id, place] of this.places) {
      this.queue.stores.identities.putDedup(id, place.lane.sequences[place.at]!, untilMs);
    }
  }
}
