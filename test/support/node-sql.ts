// SQLite of Node behind the face of workerd's `SqlStorage`, so that the real stores run in plain Node tests.
import { DatabaseSync, type SQLInputValue } from "node:sqlite";

export class NodeSql {
  private readonly database = new DatabaseSync(":memory:");
  private readonly statements = new Map<string, ReturnType<DatabaseSync["prepare"]>>();

  /** A `SqlStorage` as far as src/storage uses it. Rows written are those SQLite says it changed, without indexes. */
  get storage(): SqlStorage {
    return { exec: (query: string, ...values: SQLInputValue[]) => this.exec(query, values) } as unknown as SqlStorage;
  }

  private exec(query: string, values: SQLInputValue[]): unknown {
    let statement = this.statements.get(query);
    if (!statement) {
      statement = this.database.prepare(query);
      this.statements.set(query, statement);
    }
    const rows = statement.all(...values);
    return { toArray: () => rows, one: () => rows[0], rowsRead: rows.length, rowsWritten: 0 };
  }

  /** All of `run` or nothing, as `transactionSync` does. */
  transaction<T>(run: () => T): T {
    this.database.exec("BEGIN");
    try {
      const value = run();
      this.database.exec("COMMIT");
      return value;
    } catch (error) {
      this.database.exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    this.database.close();
  }
}
