// The one door to SQLite. Counts the rows that each statement reads and writes, because rows are what is billed.
import { Schema, type Migration } from "./migrations.ts";
import { SeldomUsed } from "./seldom-used.ts";

export type SqlValue = string | number | null | Uint8Array;

export class Sql {
  rowsRead = 0;
  rowsWritten = 0;
  private readonly storage: SqlStorage;
  private readonly seldomUsed: SeldomUsed;
  private readonly schema: Schema | null;

  /**
   * `seldomUsed`: tables that are worth a look whether there is anything in them at all. `migrations` make the tables
   * with the first INSERT; null: they are there.
   */
  constructor(
    storage: SqlStorage,
    seldomUsed: readonly string[] = [],
    migrations: readonly Migration[] | null = null,
  ) {
    this.storage = storage;
    this.seldomUsed = new SeldomUsed(seldomUsed);
    this.schema = migrations && new Schema(storage, migrations);
  }

  /** After a transaction that may have been rolled back, and when the storage was wiped. */
  forget(): void {
    this.seldomUsed.forget();
    this.schema?.forget();
  }

  run(query: string, ...values: SqlValue[]): void {
    this.all(query, ...values);
  }

  all<Row>(query: string, ...values: SqlValue[]): Row[] {
    if (this.seldomUsed.skips(query, (table) => this.hasNone(table))) return [];
    return this.execute(query, values);
  }

  private hasNone(table: string): boolean {
    return this.execute(`SELECT 1 FROM ${table} LIMIT 1`, []).length === 0;
  }

  /** Where there are no tables nothing is found, not even a count of nothing. */
  private execute<Row>(query: string, values: readonly SqlValue[]): Row[] {
    if (this.schema?.isThere() === false) {
      if (!query.startsWith("INSERT")) return [];
      this.schema.make();
    }
    const cursor = this.storage.exec(query, ...values);
    const rows = cursor.toArray() as Row[];
    this.rowsRead += cursor.rowsRead;
    this.rowsWritten += cursor.rowsWritten;
    return rows;
  }

  first<Row>(query: string, ...values: SqlValue[]): Row | null {
    return this.all<Row>(query, ...values)[0] ?? null;
  }

  /** The only column of the first row, or null. */
  value(query: string, ...values: SqlValue[]): number | null {
    return this.first<{ value: number | null }>(query, ...values)?.value ?? null;
  }
}

/** A BLOB comes back as an ArrayBuffer from workerd, as bytes from other SQLite bindings. */
export function bytesOf(blob: ArrayBuffer | Uint8Array): Uint8Array {
  return blob instanceof Uint8Array ? blob : new Uint8Array(blob);
}
