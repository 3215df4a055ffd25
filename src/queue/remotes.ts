/**
 * Consumers whose socket is on a hub. Each is a consumer like any other, but for two things: it is stored, because
 * no socket here tells of it after an eviction, and it is gone when its hub has not renewed its lease in time.
 */
import { assert } from "../protocol/assert.ts";
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { RemoteConsumer } from "../protocol/rpc.ts";
import type { Consumer, Consumers } from "./consumers.ts";
import { releaseConsumer, type Departure } from "./release.ts";
import type { QueueContext } from "./context.ts";
import type { RemoteRow } from "./stores.ts";

/** What is left of a lease when a renewal is written down. */
const RENEWED_MS = (2 * LIMITS.hubLeaseMs) / 5;

export class Remotes {
  private readonly queue: QueueContext;
  private readonly consumers: Consumers;
  private readonly rows = new Map<number, RemoteRow>();
  private lapsed: RemoteRow[] = [];

  constructor(queue: QueueContext, consumers: Consumers) {
    this.queue = queue;
    this.consumers = consumers;
    for (const row of queue.stores.remotes.all()) {
      const attached = consumers.attach(consumerOf(row));
      assert(attached.ok, `remote consumer ${row.id} was attached once and is refused now`);
      this.rows.set(row.id, row);
    }
  }

  all(): RemoteRow[] {
    return [...this.rows.values()];
  }

  get(id: number): RemoteRow | null {
    return this.rows.get(id) ?? null;
  }

  /** Attaches a new one as `newId`, or renews the one that the wish names and sets everything of it anew. */
  attach(wanted: RemoteConsumer, newId: number, nowMs: number): Result<RemoteRow> {
    this.dropLapsed(nowMs);
    const id = wanted.ids?.[0];
    if (id !== undefined) {
      const known = this.rows.get(id);
      if (known?.hub !== wanted.hub || known.session !== wanted.session) return unknown(id);
    }
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
    const attached = this.consumers.attach(consumerOf(row));
    if (!attached.ok) return attached;
    const known = this.rows.get(row.id);
    // A hub renews every minute: a row is written when there is not time left for two more.
    if (known !== undefined && isSame(known, row) && known.untilMs - nowMs > RENEWED_MS) return ok(known);
    this.keep(row);
    return ok(row);
  }

  changeCredit(id: number, credit: number): Result<void> {
    const row = this.rows.get(id);
    if (row === undefined) return unknown(id);
    this.consumers.get(id)!.credit = credit;
    this.keep({ ...row, credit });
    return ok(undefined);
  }

  private keep(row: RemoteRow): void {
    this.rows.set(row.id, row);
    this.queue.stores.remotes.put(row);
  }

  /** Repeatable. */
  detach(id: number, how: Departure, nowMs: number): void {
    if (!this.rows.delete(id)) return;
    this.queue.stores.remotes.remove(id);
    this.consumers.detach(id);
    releaseConsumer(this.queue, id, how, nowMs);
  }

  /** A hub that has not renewed counts as a socket that broke. */
  dropLapsed(nowMs: number): void {
    for (const row of this.all()) {
      if (row.untilMs > nowMs) continue;
      this.detach(row.id, "lost", nowMs);
      this.lapsed.push(row);
    }
  }

  /** Those that lapsed since it was last asked, so that their hubs are told. */
  takeLapsed(): RemoteRow[] {
    const { lapsed } = this;
    this.lapsed = [];
    return lapsed;
  }

  nextUntilMs(): number | null {
    let next: number | null = null;
    for (const { untilMs } of this.rows.values()) if (next === null || untilMs < next) next = untilMs;
    return next;
  }
}

function consumerOf({ id, subject, name, credit, leaseMs, priority, isExclusive }: RemoteRow): Consumer {
  const fixed = { isOnce: false, isDraining: false, attemptId: null } as const;
  return { id, subject: subject ?? "", name, credit, leaseMs, priority, isExclusive, ...fixed };
}

function unknown(id: number): Refusal {
  return refuse("not_consuming", `there is no remote consumer ${id}`);
}

/** In all but the end of their leases. */
function isSame({ untilMs: _one, ...known }: RemoteRow, { untilMs: _other, ...row }: RemoteRow): boolean {
  return (Object.keys(row) as (keyof typeof row)[]).every((field) => row[field] === known[field]);
}
