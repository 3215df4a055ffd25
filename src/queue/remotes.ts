/**
 * Consumers whose socket is on a hub. Each is a consumer like any other, but for two things: it is stored, because
 * no socket here tells of it after an eviction, and it is gone when its hub has not renewed its lease in time.
 *
 * A lease is the hub's, whatever the number of its consumers: a hub that lives renews for all of them in one call. It has
 * no row of its own. It lasts as long as the longest that stands in a row of one of its consumers.
 */
import { assert } from "../protocol/assert.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { HeldRemote, RemoteConsumer } from "../protocol/rpc.ts";
import type { Consumer, Consumers } from "./consumers.ts";
import { Unread } from "../protocol/unread.ts";
import type { QueueContext } from "./context.ts";
import { releaseConsumer, type Departure } from "./release.ts";
import type { RemoteRow } from "./stores.ts";

/** What is left of a lease when a renewal is written down. */
const RENEWED_MS = (2 * LIMITS.hubLeaseMs) / 5;
/** A hub that was just given a consumer may not know of it yet when it tells which it has. */
const UNHEARD_MS = LIMITS.hubLeaseMs / 5;

/** What a hub is told of a consumer that it attached. */
export interface AttachedRemote {
  readonly ids: readonly number[];
  readonly active: boolean;
  readonly leaseMs: number;
}

export class Remotes {
  private readonly queue: QueueContext;
  private readonly consumers: Consumers;
  private readonly rows = new Map<number, RemoteRow>();
  /** By hub: the end of its lease. */
  private readonly untilMs = new Map<string, number>();
  private lapsed: RemoteRow[] = [];

  constructor(queue: QueueContext, consumers: Consumers) {
    this.queue = queue;
    this.consumers = consumers;
    for (const row of queue.stores.remotes.all()) {
      const attached = consumers.attach(consumerOf(row), LIMITS.consumersMax);
      assert(attached.ok, `remote consumer ${row.id} was attached once and is refused now`);
      this.take(row);
    }
  }

  all(): RemoteRow[] {
    return [...this.rows.values()];
  }

  get(id: number): RemoteRow | null {
    return this.rows.get(id) ?? null;
  }

  /** Attaches a new one as `newId`, or sets everything anew of the one that the wish names. */
  attach(wanted: RemoteConsumer, newId: number, nowMs: number): Result<RemoteRow> {
    this.dropLapsed(nowMs);
    const id = wanted.ids?.[0];
    if (id !== undefined && !this.isOf(id, wanted.hub, wanted.session)) return unknown(id);
    const row: RemoteRow = {
      id: id ?? newId,
      hub: wanted.hub,
      session: wanted.session,
      subject: wanted.subject,
      name: wanted.name,
      credit: wanted.credit,
      leaseMs: wanted.leaseMs ?? null,
      priority: wanted.priority ?? 0,
      isExclusive: wanted.exclusive ?? false,
      untilMs: nowMs + LIMITS.hubLeaseMs,
    };
    const unread = this.consumers.get(row.id)?.unread;
    const attached = this.consumers.attach(consumerOf(row, unread), wanted.consumersMax);
    if (!attached.ok) return attached;
    const known = this.rows.get(row.id);
    if (known !== undefined && isSame(known, row) && !this.isDue(row.hub, nowMs)) return ok(known);
    this.keep(row);
    return ok(row);
  }

  /** A hub lives, and these are its consumers here. The ids of those that it has here no more. */
  renew(hub: string, held: readonly HeldRemote[], nowMs: number): number[] {
    this.dropLapsed(nowMs);
    const gone: number[] = [];
    const known = new Set<number>();
    for (const { session, ids } of held) {
      for (const id of ids) {
        if (this.isOf(id, hub, session)) known.add(id);
        else gone.push(id);
      }
    }
    this.dropUnheld(hub, known, nowMs);
    const [bearer] = known;
    if (bearer !== undefined && this.isDue(hub, nowMs)) {
      this.keep({ ...this.rows.get(bearer)!, untilMs: nowMs + LIMITS.hubLeaseMs });
    }
    return gone;
  }

  private isOf(id: number, hub: string, session: number): boolean {
    const row = this.rows.get(id);
    return row?.hub === hub && row.session === session;
  }

  /** A hub renews every minute: that is written when there is not time left for two more. */
  private isDue(hub: string, nowMs: number): boolean {
    return (this.untilMs.get(hub) ?? 0) - nowMs <= RENEWED_MS;
  }

  /** A hub may lose its sockets without a word, as by a restart. */
  private dropUnheld(hub: string, known: ReadonlySet<number>, nowMs: number): void {
    const heardMs = nowMs + LIMITS.hubLeaseMs - UNHEARD_MS;
    for (const row of this.all()) {
      if (row.hub === hub && !known.has(row.id) && row.untilMs <= heardMs) this.lose(row, nowMs);
    }
  }

  changeCredit(id: number, credit: number): Result<void> {
    const row = this.rows.get(id);
    if (row === undefined) return unknown(id);
    this.consumers.get(id)!.credit = credit;
    this.keep({ ...row, credit });
    return ok(undefined);
  }

  private keep(row: RemoteRow): void {
    this.take(row);
    this.queue.stores.remotes.put(row);
  }

  private take(row: RemoteRow): void {
    this.rows.set(row.id, row);
    this.untilMs.set(row.hub, Math.max(row.untilMs, this.untilMs.get(row.hub) ?? 0));
  }

  /** Repeatable. */
  detach(id: number, how: Departure, nowMs: number): void {
    const row = this.rows.get(id);
    if (row === undefined) return;
    this.rows.delete(id);
    this.queue.stores.remotes.remove(id);
    this.handOn(row.hub);
    this.consumers.detach(id);
    releaseConsumer(this.queue, id, how, nowMs);
  }

  /** A hub's lease must not go with the row in which it stood. */
  private handOn(hub: string): void {
    const untilMs = this.untilMs.get(hub);
    const rest = this.all().filter((row) => row.hub === hub);
    const heir = rest.at(-1);
    if (heir === undefined) this.untilMs.delete(hub);
    else if (untilMs !== undefined && rest.every((row) => row.untilMs < untilMs)) {
      this.keep({ ...heir, untilMs });
    }
  }

  /** A hub that has not renewed counts as sockets that broke. */
  dropLapsed(nowMs: number): void {
    for (const [hub, untilMs] of this.untilMs) {
      if (untilMs > nowMs) continue;
      this.untilMs.delete(hub);
      for (const row of this.all()) if (row.hub === hub) this.lose(row, nowMs);
    }
  }

  private lose(row: RemoteRow, nowMs: number): void {
    this.detach(row.id, "lost", nowMs);
    this.lapsed.push(row);
  }

  /** Those that lapsed since it was last asked, so that their hubs are told. */
  takeLapsed(): RemoteRow[] {
    const { lapsed } = this;
    this.lapsed = [];
    return lapsed;
  }

  nextUntilMs(): number | null {
    return this.untilMs.size === 0 ? null : Math.min(...this.untilMs.values());
  }
}

/** `unread`: of the same consumer before. */
function consumerOf(row: RemoteRow, unread = new Unread(undefined, LIMITS.unreadRemoteBytesMax)): Consumer {
  const { id, subject, name, credit, leaseMs, priority, isExclusive } = row;
  const fixed = { isOnce: false, isDraining: false, attemptId: null } as const;
  return { id, subject: subject ?? "", name, credit, leaseMs, priority, isExclusive, unread, ...fixed };
}

function unknown(id: number): Refusal {
  return refuse("not_consuming", `there is no remote consumer ${id}`);
}

/** In all but the end of their leases. */
function isSame({ untilMs: _one, ...known }: RemoteRow, { untilMs: _other, ...row }: RemoteRow): boolean {
  return (Object.keys(row) as (keyof typeof row)[]).every((field) => row[field] === known[field]);
}
