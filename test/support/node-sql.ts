// SQLite of Node behind the face of workerd's `SqlStorage`, so that the real stores run in plain Node tests.
import { DatabaseSync, type SQLInputValue } from "node:sqlite";

export class NodeSql {
  private readonly database: DatabaseSync;
  private totalChanges: ReturnType<DatabaseSync["prepare"]> | undefined;
  private depth = 0;
  private readonly statements = new Map<string, ReturnType<DatabaseSync["prepare"]>>();

  /** In a file it is synced with each commit, as workerd does. */
  constructor(path = ":memory:") {
    this.database = new DatabaseSync(path);
    if (path !== ":memory:") this.database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  }

  /**
   * A `SqlStorage` as far as src/storage uses it. Rows read are those returned, and rows written
   * those SQLite says it changed, without indexes: less than what is billed, and enough to see what grows.
   */
  get storage(): SqlStorage {
    return {
      exec: (query: string, ...values: SQLInputValue[]) => this.exec(query, values),
    } as unknown as SqlStorage;
  }

  private exec(query: string, values: SQLInputValue[]): unknown {
    let statement = this.statements.get(query);
    if (!statement) {
      statement = this.database.prepare(query);
      this.statements.set(query, statement);
    }
    const before = this.changes();
    const rows = statement.all(...values);
    const rowsWritten = this.changes() - before;
    return { toArray: () => rows, one: () => rows[0], rowsRead: rows.length, rowsWritten };
  }

  private changes(): number {
    this.totalChanges ??= this.database.prepare("SELECT total_changes() AS value");
    return (this.totalChanges.get() as { value: number }).value;
  }

  /** How SQLite would run a query: one line a step. */
  plan(query: string, ...values: SQLInputValue[]): string[] {
    const steps = this.database.prepare(`EXPLAIN QUERY PLAN ${query}`).all(...values);
    return steps.map((step) => String(step["detail"]));
  }

  /** All of `run` or nothing, as `transactionSync` does; one within another too. */
  transaction<T>(run: () => T): T {
    const point = `transaction_${++this.depth}`;
    this.database.exec(`SAVEPOINT ${point}`);
    try {
      return run();
    } catch (error) {
      this.database.exec(`ROLLBACK TO ${point}`);
      throw error;
    } finally {
      this.database.exec(`RELEASE ${point}`);
      this.depth--;
    }
  }

  get isInTransaction(): boolean {
    return this.depth > 0;
  }

  close(): void {
    this.database.close();
  }
}
