// SQS.md against the code: what the gateway has is in it, and the tests that it names are there.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ACTIONS } from "../../../../src/gateways/sqs/shapes.ts";
import { SQS_ERRORS } from "../../../../src/gateways/sqs/errors.ts";
import { ATTRIBUTES } from "../../../../src/gateways/sqs/queue-attributes.ts";
import { SYSTEM_NAMES } from "../../../../src/gateways/sqs/actions/receive.ts";

const ROOT = join(import.meta.dirname, "../../../..");
const DOCUMENT = readFileSync(join(ROOT, "src/gateways/sqs/SQS.md"), "utf8");
const TESTS = globSync("test/{node/sqs/**/*.{ts,py},core/gateways/sqs/*.ts}", { cwd: ROOT })
  .map((path) => readFileSync(join(ROOT, path), "utf8"))
  .join("\n");

interface Row {
  readonly name: string;
  readonly tests: readonly string[];
}

/** The rows of the table under a heading. */
function rows(heading: string): Row[] {
  const from = DOCUMENT.indexOf(`\n## ${heading}\n`);
  expect(from, heading).toBeGreaterThan(-1);
  const [section] = DOCUMENT.slice(from + 4).split("\n## ");
  const lines = section!.split("\n").filter((line) => /^\| \w/.test(line));
  return lines.slice(1).map((line) => {
    const cells = line.split("|").map((cell) => cell.trim());
    return { name: cells[1]!, tests: [...cells.at(-2)!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!) };
  });
}

function namesOf(heading: string): string[] {
  return rows(heading).map(({ name }) => name);
}

function isThere(test: string): boolean {
  return test.startsWith("test_") ? TESTS.includes(`def ${test}(`) : TESTS.includes(`it("${test}"`);
}

describe("SQS.md", () => {
  it("tells of every action", () => {
    expect(namesOf("Actions").sort()).toEqual(Object.keys(ACTIONS).sort());
  });

  it("tells of every attribute of a queue", () => {
    expect(namesOf("Attributes of queues").sort()).toEqual(Object.keys(ATTRIBUTES).sort());
  });

  it("tells of every system attribute of a message", () => {
    expect(namesOf("Attributes of messages")).toEqual(expect.arrayContaining([...SYSTEM_NAMES]));
  });

  it("tells of errors that there are", () => {
    for (const name of namesOf("Errors")) expect(Object.keys(SQS_ERRORS)).toContain(name);
  });

  it.each(["Actions", "Attributes of queues", "Attributes of messages", "Errors"])(
    "names a test in each row of %s, and it is there",
    (heading) => {
      const all = rows(heading);
      expect(all.filter(({ tests }) => tests.length === 0)).toEqual([]);
      const missing = all.flatMap(({ tests }) => tests).filter((test) => !isThere(test));
      expect(missing).toEqual([]);
    },
  );
});
