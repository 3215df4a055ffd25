// SECURITY.md against the tests: each line of its tables is held by one that is there.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");
const DOCUMENT = readFileSync(join(ROOT, "SECURITY.md"), "utf8");
const TESTS = globSync("test/{core,workers,node,browser}/**/*.ts", { cwd: ROOT })
  .filter((path) => !path.endsWith("security-document.test.ts"))
  .map((path) => readFileSync(join(ROOT, path), "utf8"))
  .join("\n");

/** What is said, and the tests that hold it. */
function lines(): { says: string; tests: string[] }[] {
  return DOCUMENT.split("\n")
    .filter((line) => line.startsWith("| ") && !/^\| (?:line|-)/.test(line))
    .map((line) => {
      const [, says = "", cell = ""] = line.split("|").map((part) => part.trim());
      return { says, tests: [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!) };
    });
}

describe("SECURITY.md", () => {
  it("names a test in each line of its tables", () => {
    expect(lines().length).toBeGreaterThan(20);
    expect(lines().filter(({ tests }) => tests.length === 0)).toEqual([]);
  });

  it("names tests that are there", () => {
    const named = lines().flatMap(({ tests }) => tests);
    expect(named.filter((name) => !TESTS.includes(`("${name}", `))).toEqual([]);
  });
});
