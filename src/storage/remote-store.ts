import type { RemoteRow, RemoteStore } from "../queue/stores.ts";
import type { Sql } from "./sql.ts";

const COLUMNS = "id, hub, session, name, credit, lease_ms, priority, exclusive, until_ms, subject";
const ALL = `SELECT ${COLUMNS} FROM remote ORDER BY id`; // at most LIMITS.consumersMax rows
const PUT = `INSERT OR REPLACE INTO remote (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const REMOVE = "DELETE FROM remote WHERE id = ?";

interface Row {
  id: number;
  hub: string;
  session: number;
  name: string;
  credit: number;
  lease_ms: number | null;
  priority: number;
  exclusive: number;
  until_ms: number;
  subject: string | null;
}

export class SqlRemoteStore implements RemoteStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  all(): RemoteRow[] {
    return this.sql.all<Row>(ALL).map(({ lease_ms: leaseMs, until_ms: untilMs, exclusive, ...row }) => ({
      ...row,
      leaseMs,
      isExclusive: exclusive === 1,
      untilMs,
    }));
  }

  put(row: RemoteRow): void {
    const { id, hub, session, name, credit, leaseMs, priority, isExclusive, untilMs, subject } = row;
    this.sql.run(
      PUT,
      id,
      hub,
      session,
      name,
      credit,
      leaseMs,
      priority,
      isExclusive ? 1 : 0,
      untilMs,
      subject,
    );
  }

  remove(id: number): void {
    this.sql.run(REMOVE, id);
  }
}
