// SQS.md against the code: what the gateway has is in it, and the tests that it names are there.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ACTIONS } from "../../../../src/gateways/sqs/shapes.ts";
import { SQS_ERRORS, type SqsErrorName } from "../../../../src/gateways/sqs/errors.ts";
import { ATTRIBUTES } from "../../../../src/gateways/sqs/queue-attributes.ts";
import { SYSTEM_NAMES } from "../../../../src/gateways/sqs/actions/receive.ts";

const ROOT = join(import.meta.dirname, "../../../..");
const DOCUMENT = readFileSync(join(ROOT, "src/gateways/sqs/SQS.md"), "utf8");
const TESTS = globSync("test/{node/sqs/**/*.{ts,py},core/gateways/sqs/*.ts}", { cwd: ROOT })
  .map((path) => readFileSync(join(ROOT, path), "utf8"))
  .join("\n");

interface Row {
  readonly name: string;
  readonly cells: readonly string[];
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
    const tests = [...cells.at(-2)!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
    return { name: cells[1]!, cells: cells.slice(1, -1), tests };
  });
}

function namesOf(heading: string): string[] {
  return rows(heading).map(({ name }) => name);
}

function isThere(test: string): boolean {
  return TESTS.includes(test.startsWith("test_") ? `def ${test}(` : `("${test}", `);
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

  it("tells of every error its code and status, or that it is never said", () => {
    const [, never] = /Never said here: (.*?)\.\n/s.exec(DOCUMENT)!;
    const unsaid = [...never!.matchAll(/`(\w+)`/g)].map((match) => match[1]!);
    expect([...namesOf("Errors"), ...unsaid].sort()).toEqual(Object.keys(SQS_ERRORS).sort());
    const told = rows("Errors").map(({ cells }) => cells.slice(0, 3));
    const meant = namesOf("Errors").map((name) => {
      const { code, status } = SQS_ERRORS[name as SqsErrorName];
      return [name, `\`${code}\``, String(status)];
    });
    expect(told).toEqual(meant);
  });

  it("says never of no error that the gateway says", () => {
    const sources = globSync("src/gateways/sqs/**/*.ts", { cwd: ROOT })
      .filter((path) => !path.endsWith("/errors.ts"))
      .map((path) => readFileSync(join(ROOT, path), "utf8"))
      .join("\n");
    const said = Object.keys(SQS_ERRORS).filter((name) => sources.includes(`"${name}"`));
    expect(namesOf("Errors").sort()).toEqual(said.sort());
  });

  it.each(["Actions", "Attributes of queues", "Attributes of messages", "Limits", "Errors"])(
    "names a test in each row of %s, and it is there",
    (heading) => {
      const all = rows(heading);
      expect(all.filter(({ tests }) => tests.length === 0)).toEqual([]);
      const missing = all.flatMap(({ tests }) => tests).filter((test) => !isThere(test));
      expect(missing).toEqual([]);
    },
  );
});
