// What a bench says: tables for whoever looks on, and one JSON file for whoever compares runs.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import type { ContestResult } from "./contest.ts";

/** Not committed: figures belong to the machine that they were made on. */
const FOLDER = join(import.meta.dirname, "../../build/bench");

export function printContest({ title, unit, rounds, outcomes, absent }: ContestResult): void {
  const rows = outcomes.map(({ name, reached, ratio }) => [
    name,
    amount(reached.median),
    `${amount(reached.min)} – ${amount(reached.max)}`,
    ratio ? `${factor(ratio.median)} (${factor(ratio.min)} – ${factor(ratio.max)})` : "",
  ]);
  console.log(`\n${title}, ${rounds} rounds`);
  printTable(["", `median ${unit}`, "min – max", "we are"], rows);
  for (const peer of absent) console.log(`  absent: ${peer}`);
}

/** The first column is text and lies left, the others right. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  for (const row of all) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
    );
    console.log(`  ${cells.join("   ")}`.trimEnd());
  }
}

/** Writes `build/bench/<name>.json`: the machine, the time and the results. */
export function writeResults(name: string, results: unknown): void {
  mkdirSync(FOLDER, { recursive: true });
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
  const path = join(FOLDER, `${name}.json`);
  writeFileSync(path, `${JSON.stringify({ at: new Date().toISOString(), machine, results }, null, 2)}\n`);
  console.log(`\n  build/bench/${name}.json`);
}

export function amount(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

export function factor(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(1)} ×`;
}
