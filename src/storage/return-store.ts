import type { AttemptLogEntry } from "../protocol/commands.ts";
import type { ReturnRow, ReturnState, ReturnStore, StoredDeath } from "../queue/stores.ts";
import type { Sql } from "./sql.ts";

const COLUMNS = `sequence, segment, position, priority, rank_ms, state, available_ms, attempts, failures,
  first_sent_ms, redrives, key, log, death`;
const GET = `SELECT ${COLUMNS} FROM returned WHERE sequence = ?`;
const PUT = `INSERT OR REPLACE INTO returned (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const REMOVE = "DELETE FROM returned WHERE sequence = ?";
// by returned_ready
const READY = `SELECT ${COLUMNS} FROM returned WHERE state = 1 AND priority = ? AND (rank_ms, sequence) > (?, ?)
  ORDER BY rank_ms, sequence LIMIT ?`;
// by returned_waiting
const DUE = `SELECT ${COLUMNS} FROM returned WHERE state = 0 AND available_ms <= ? ORDER BY available_ms LIMIT ?`;
const NEXT_AVAILABLE = "SELECT min(available_ms) AS value FROM returned WHERE state = 0";
const IN_STATE = `SELECT ${COLUMNS} FROM returned WHERE state = ? AND sequence > ? ORDER BY sequence LIMIT ?`;
// by returned_stopped
const STOPPED = `SELECT ${COLUMNS} FROM returned WHERE state >= 3 AND state = ? AND sequence > ? ORDER BY sequence LIMIT ?`;
const LIVE_BELOW = "SELECT 1 AS value FROM returned WHERE sequence < ? AND state < 4 LIMIT 1";
const BETWEEN = `SELECT ${COLUMNS} FROM returned WHERE sequence BETWEEN ? AND ?`;
// by returned_key
const HAS_KEY = "SELECT 1 AS value FROM returned WHERE key = ? AND state <> 2 LIMIT 1";
const SEQUENCES_OF_KEY = `SELECT sequence FROM returned WHERE key = ? AND state <> 2
  ORDER BY priority DESC, rank_ms, sequence LIMIT ?`;
const PARKED_OF = `SELECT ${COLUMNS} FROM returned WHERE key = ? AND state = 3 ORDER BY sequence`;

interface Row {
  sequence: number;
  segment: number;
  position: number;
  priority: number;
  rank_ms: number;
  state: number;
  available_ms: number;
  attempts: number;
  failures: number;
  first_sent_ms: number;
  redrives: number;
  key: string | null;
  log: string;
  death: string | null;
}

function rowOf(row: Row): ReturnRow {
  const { sequence, segment, position, priority, attempts, failures, redrives, key } = row;
  return {
    sequence,
    segment,
    index: position,
    priority,
    rankMs: row.rank_ms,
    state: row.state as ReturnState,
    availableMs: row.available_ms,
    attempts,
    failures,
    firstSentMs: row.first_sent_ms,
    redrives,
    key,
    log: JSON.parse(row.log) as AttemptLogEntry[],
    death: row.death === null ? null : (JSON.parse(row.death) as StoredDeath),
  };
}

export class SqlReturnStore implements ReturnStore {
  private readonly sql: Sql;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  get(sequence: number): ReturnRow | null {
    const row = this.sql.first<Row>(GET, sequence);
    return row && rowOf(row);
  }

  put(row: ReturnRow): void {
    const { sequence, segment, index, priority, rankMs, state, availableMs, attempts, failures } = row;
    const { firstSentMs, redrives, key } = row;
    const log = JSON.stringify(row.log);
    const death = row.death === null ? null : JSON.stringify(row.death);
    const counts = [attempts, failures, firstSentMs, redrives] as const;
    const place = [sequence, segment, index, priority, rankMs] as const;
    this.sql.run(PUT, ...place, state, availableMs, ...counts, key, log, death);
  }

  remove(sequence: number): void {
    this.sql.run(REMOVE, sequence);
  }

  ready(priority: number, after: Pick<ReturnRow, "rankMs" | "sequence"> | null, limit: number): ReturnRow[] {
    return this.sql.all<Row>(READY, priority, after?.rankMs ?? 0, after?.sequence ?? 0, limit).map(rowOf);
  }

  due(nowMs: number, limit: number): ReturnRow[] {
    return this.sql.all<Row>(DUE, nowMs, limit).map(rowOf);
  }

  nextAvailableMs(): number | null {
    return this.sql.value(NEXT_AVAILABLE);
  }

  inState(state: ReturnState, after: number, limit: number): ReturnRow[] {
    return this.sql.all<Row>(state >= 3 ? STOPPED : IN_STATE, state, after, limit).map(rowOf);
  }

  between(first: number, last: number): ReturnRow[] {
    return this.sql.all<Row>(BETWEEN, first, last).map(rowOf);
  }

  hasLiveBelow(sequence: number): boolean {
    return this.sql.value(LIVE_BELOW, sequence) !== null;
  }

  hasKey(key: string): boolean {
    return this.sql.value(HAS_KEY, key) !== null;
  }

  sequencesOfKey(key: string, limit: number): number[] {
    return this.sql.all<{ sequence: number }>(SEQUENCES_OF_KEY, key, limit).map(({ sequence }) => sequence);
  }

  parkedOf(key: string): ReturnRow[] {
    return this.sql.all<Row>(PARKED_OF, key).map(rowOf);
  }
}
