// How an object's tables come to be: an append-only list of numbered steps, each run once and written down.
import { assert } from "../protocol/assert.ts";

export interface Migration {
  /** From 1, without gaps. Stored: never renumber, never change a step that was released. */
  readonly number: number;
  readonly sql: readonly string[];
}

const CREATE_APPLIED = `
  CREATE TABLE IF NOT EXISTS migration (
    number INTEGER PRIMARY KEY -- of the steps that ran
  )`;
const SELECT_LATEST = "SELECT coalesce(max(number), 0) AS latest FROM migration";
const INSERT_APPLIED = "INSERT INTO migration (number) VALUES (?)";

// The first of an object's own tables, so that the look for it reads a row or two.
const SELECT_THERE = "SELECT 1 FROM sqlite_master WHERE name = 'migration' LIMIT 1";

/**
 * Runs the steps that this object has not run yet, in order, without waiting: the runtime commits them together or not
 * at all.
 */
export function migrate(sql: SqlStorage, migrations: readonly Migration[]): void {
  sql.exec(CREATE_APPLIED);
  const { latest } = sql.exec<{ latest: number }>(SELECT_LATEST).one();
  for (const [index, migration] of migrations.entries()) {
    assert(migration.number === index + 1, `migration ${migration.number} is at place ${index + 1}`);
    if (migration.number <= latest) continue;
    for (const statement of migration.sql) sql.exec(statement);
    sql.exec(INSERT_APPLIED, migration.number);
  }
}

/**
 * Whether an object's tables are there. They are made when the first row is put into one of them: anybody may ask for
 * a name that nobody declared, and an object that was only asked must leave no database behind.
 */
export class Schema {
  private readonly storage: SqlStorage;
  private readonly migrations: readonly Migration[];
  /** Null: not known. */
  private isMade: boolean | null = null;

  constructor(storage: SqlStorage, migrations: readonly Migration[]) {
    this.storage = storage;
    this.migrations = migrations;
  }

  /** After a transaction that may have been rolled back, and when the storage was wiped. */
  forget(): void {
    this.isMade = null;
  }

  /** Tables of an earlier version are brought up to date. */
  isThere(): boolean {
    if (this.isMade === null) {
      this.isMade = this.storage.exec(SELECT_THERE).toArray().length > 0;
      if (this.isMade) migrate(this.storage, this.migrations);
    }
    return this.isMade;
  }

  make(): void {
    if (this.isThere()) return;
    migrate(this.storage, this.migrations);
    this.isMade = true;
  }
}
