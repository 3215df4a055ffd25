// A queue's tables, put together as the core wants them.
import { QUEUE_DEFAULTS } from "../protocol/queue-config.ts";
import type { QueueStores, StoredQueue } from "../queue/stores.ts";
import { SqlIdentityStore } from "./identity-store.ts";
import { SqlKeyStore } from "./key-store.ts";
import { SqlLeaseStore } from "./lease-store.ts";
import { QUEUE_TABLES } from "./queue-schema.ts";
import { SqlRemoteStore } from "./remote-store.ts";
import { SqlReturnStore } from "./return-store.ts";
import { SqlSegmentStore } from "./segment-store.ts";
import type { Sql } from "./sql.ts";
import { SqlTimerStore } from "./timer-store.ts";
import { SqlWorkStore } from "./work-store.ts";

const READ_QUEUE = "SELECT stored FROM queue";
const WRITE_QUEUE = "INSERT OR REPLACE INTO queue (only, stored) VALUES (1, ?)";

export class SqlQueueStores implements QueueStores {
  readonly segments;
  readonly leases;
  readonly returns;
  readonly timers;
  readonly keys;
  readonly identities;
  readonly work;
  readonly remotes;
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
    this.segments = new SqlSegmentStore(sql);
    this.leases = new SqlLeaseStore(sql);
    this.returns = new SqlReturnStore(sql);
    this.timers = new SqlTimerStore(sql);
    this.keys = new SqlKeyStore(sql);
    this.identities = new SqlIdentityStore(sql);
    this.work = new SqlWorkStore(sql);
    this.remotes = new SqlRemoteStore(sql);
  }

  forget(): void {
    this.sql.forget();
    this.segments.forget();
    this.work.forget();
  }

  readQueue(): StoredQueue | null {
    const row = this.sql.first<{ stored: string }>(READ_QUEUE);
    if (row === null) return null;
    const stored = JSON.parse(row.stored) as StoredQueue;
    // What an earlier version did not know is as it was then: the default.
    return { ...stored, config: { ...QUEUE_DEFAULTS, ...stored.config } };
  }

  writeQueue(queue: StoredQueue): void {
    this.sql.run(WRITE_QUEUE, JSON.stringify(queue));
  }

  clear(): void {
    this.segments.forget();
    // Bodies in a bucket are still to be deleted when the queue is gone.
    for (const table of QUEUE_TABLES) if (table !== "garbage") this.sql.run(`DELETE FROM ${table}`);
  }
}
