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

/**
 * Runs the steps that this object has not run yet, in order. Call it from an object's constructor: everything
 * there belongs to one event, so the runtime commits the steps together or not at all.
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
