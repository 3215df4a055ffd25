/**
 * Tables that are empty most of the time. A statement on one that is known to be empty has nothing to find and need not
 * run: of twenty statements that a message's life came to, fifteen were such. An object is the only writer of its storage,
 * so what is known stays true until it writes, or a transaction is rolled back.
 */

interface Plan {
  /** The one such table that the statement is about; null: none, or others as well. */
  readonly table: string | null;
  readonly verb: "read" | "insert" | "delete";
}

export class SeldomUsed {
  private readonly tables: ReadonlySet<string>;
  private readonly plans = new Map<string, Plan>();
  /** Absent: not known. */
  private readonly isEmpty = new Map<string, boolean>();

  constructor(tables: readonly string[]) {
    this.tables = new Set(tables);
  }

  /** A transaction may have been rolled back: nothing is known. */
  forget(): void {
    this.isEmpty.clear();
  }

  /** Whether the statement is in vain. `probe` tells whether a table has no row. */
  skips(query: string, probe: (table: string) => boolean): boolean {
    if (this.tables.size === 0) return false;
    const { table, verb } = this.planOf(query);
    if (table === null) return false;
    if (verb === "insert") {
      this.isEmpty.set(table, false);
      return false;
    }
    const isEmpty = this.isEmpty.get(table) ?? this.learn(table, probe);
    // It may be the last row that goes.
    if (!isEmpty && verb === "delete") this.isEmpty.delete(table);
    return isEmpty;
  }

  private learn(table: string, probe: (table: string) => boolean): boolean {
    const isEmpty = probe(table);
    this.isEmpty.set(table, isEmpty);
    return isEmpty;
  }

  private planOf(query: string): Plan {
    let plan = this.plans.get(query);
    if (plan === undefined) this.plans.set(query, (plan = this.read(query)));
    return plan;
  }

  private read(query: string): Plan {
    // Not the UPDATE of an upsert, which names no table.
    const names = [...query.matchAll(/\b(?:FROM|INTO|UPDATE(?!\s+SET\b))\s+(\w+)/g)].map(([, name]) => name!);
    const [table = ""] = names;
    const verb = query.startsWith("INSERT") ? "insert" : query.startsWith("DELETE") ? "delete" : "read";
    // What is put into a table is in it, wherever it comes from; and a count of nothing is a row.
    const isOne = verb === "insert" || (names.every((name) => name === table) && !query.includes("count("));
    return { table: isOne && this.tables.has(table) ? table : null, verb };
  }
}
