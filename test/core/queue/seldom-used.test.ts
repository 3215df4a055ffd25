// What is known of tables without asking: it must never hide a row.
import { describe, expect, it } from "vitest";
import * as schema from "../../../src/storage/queue-schema.ts";
import { Sql } from "../../../src/storage/sql.ts";
import { NodeSql } from "../../support/node-sql.ts";

function open(): { sql: Sql; ran: () => number } {
  const node = new NodeSql();
  const { storage } = node;
  let ran = 0;
  const counted = { exec: (query: string, ...values: unknown[]) => (ran++, storage.exec(query, ...values)) };
  const sql = new Sql(counted as SqlStorage, ["seldom"]);
  sql.run("CREATE TABLE seldom (id INTEGER PRIMARY KEY, n INTEGER)");
  sql.run("CREATE TABLE often (id INTEGER PRIMARY KEY)");
  ran = 0;
  return { sql, ran: () => ran };
}

const READ = "SELECT n AS value FROM seldom WHERE id = ?";
const UPSERT =
  "INSERT INTO seldom (id, n) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE excluded.n < n";

describe("a table that is seldom used", () => {
  it("is asked once while it is empty, and every time while it is not", () => {
    const { sql, ran } = open();
    for (let i = 0; i < 5; i++) expect(sql.value(READ, 1)).toBeNull();
    sql.run("DELETE FROM seldom WHERE id = ?", 1);
    sql.run("UPDATE seldom SET n = ? WHERE id = ?", 1, 1);
    expect(ran()).toBe(1);
    sql.run(UPSERT, 1, 7);
    expect(sql.value(READ, 1)).toBe(7);
    sql.run("UPDATE seldom SET n = ? WHERE id = ?", 8, 1);
    expect(sql.value(READ, 1)).toBe(8);
  });

  it("is asked again after each row that goes", () => {
    const { sql } = open();
    sql.run(UPSERT, 1, 1);
    sql.run(UPSERT, 2, 2);
    sql.run("DELETE FROM seldom WHERE id = ?", 1);
    expect(sql.value(READ, 2)).toBe(2);
    sql.run("DELETE FROM seldom WHERE id = ?", 2);
    expect(sql.value(READ, 2)).toBeNull();
    expect(sql.all("DELETE FROM seldom WHERE id = ? RETURNING 1", 2)).toEqual([]);
    sql.run("INSERT OR REPLACE INTO seldom (id, n) VALUES (?, ?)", 3, 3);
    expect(sql.value(READ, 3)).toBe(3);
  });

  it("is asked when a statement is about others, too", () => {
    const { sql } = open();
    sql.run("INSERT INTO often (id) VALUES (?)", 1);
    expect(sql.value(READ, 1)).toBeNull();
    expect(sql.value("SELECT count(*) AS value FROM often WHERE id NOT IN (SELECT id FROM seldom)")).toBe(1);
    sql.run("INSERT INTO seldom (id, n) SELECT id, 5 FROM often WHERE id = ?", 1);
    expect(sql.value(READ, 1)).toBe(5);
  });

  it("is not known after a rollback", () => {
    const { sql } = open();
    sql.run(UPSERT, 1, 1);
    sql.run("BEGIN");
    sql.run("DELETE FROM seldom WHERE id = ?", 1);
    expect(sql.value(READ, 1)).toBeNull();
    sql.run("ROLLBACK");
    sql.forget();
    expect(sql.value(READ, 1)).toBe(1);
  });

  it("is one of the queue's", () => {
    const known: readonly string[] = schema.QUEUE_TABLES;
    expect(schema.SELDOM_USED_TABLES.filter((table) => !known.includes(table))).toEqual([]);
  });
});
