// PROTOCOL.md against the code: every number, code, address and byte in it that the code also has.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createApp } from "../../../src/edge/app.ts";
import { ERRORS, isErrorCode } from "../../../src/protocol/errors.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { QUEUE_DEFAULTS } from "../../../src/protocol/queue-config.ts";
import { parseClientFrame } from "../../../src/protocol/schemas.ts";
import { readBatchVectors } from "../../support/vectors.ts";

const DOCUMENT = readFileSync(join(import.meta.dirname, "../../../src/protocol/PROTOCOL.md"), "utf8");

/** The text of a section, from its heading to the next one of its rank or above. */
function section(number: string): string {
  const rank = number.includes(".") ? "###" : "##";
  const start = DOCUMENT.search(new RegExp(`^${rank} ${number.replace(".", "\\.")}[. ]`, "m"));
  expect(start, `there is no section ${number}`).toBeGreaterThan(-1);
  const rest = DOCUMENT.slice(start + rank.length);
  const end = rest.search(rank === "##" ? /^## /m : /^###? /m);
  return end === -1 ? rest : rest.slice(0, end);
}

/** The cells of the tables' rows whose first cell is one word of code. */
function rows(text: string): { name: string; cells: string[] }[] {
  return [...text.matchAll(/^\| `(\w+)` +\|(.*)\|$/gm)].map(([, name, rest]) => ({
    name: name!,
    cells: rest!.split("|").map((cell) => cell.trim()),
  }));
}

function numberOf(cell: string): number {
  expect(cell).toMatch(/^\d{1,3}(,\d{3})*$/);
  return Number(cell.replaceAll(",", ""));
}

function namesOf(text: string): string[] {
  return rows(text).map(({ name }) => name);
}

describe("PROTOCOL.md", () => {
  it("gives every limit its value", () => {
    const limits = rows(section("9")).map(({ name, cells }) => [name, numberOf(cells[0]!)]);
    expect(limits).toHaveLength(Object.keys(LIMITS).length);
    expect(Object.fromEntries(limits)).toEqual(LIMITS);
  });

  it("says of every error whether to try again", () => {
    const errors = rows(section("3")).filter(({ name }) => isErrorCode(name));
    const told = errors.map(({ name, cells }) => [
      name,
      { status: Number(cells[0]), retry: cells[2] === "yes" },
    ]);
    const known = Object.entries(ERRORS).map(([code, { status, retry }]) => [code, { status, retry }]);
    expect(Object.fromEntries(told)).toEqual(Object.fromEntries(known));
  });

  it("gives every setting of a queue its default", () => {
    const settings = rows(section("7.1"));
    expect(settings.map(({ name }) => name).sort()).toEqual(Object.keys(QUEUE_DEFAULTS).sort());
    for (const [name, value] of Object.entries(QUEUE_DEFAULTS)) {
      if (name === "retry") continue;
      const told = settings.find((row) => row.name === name)!.cells[0]!;
      expect(told.replace(/[`,]/g, ""), name).toBe(String(value));
    }
    const retry = rows(section("7.6")).map(({ name, cells }) => [name, cells[0]!.replace(/[`,]/g, "")]);
    const known = Object.entries(QUEUE_DEFAULTS.retry).map(([name, value]) => [name, String(value)]);
    expect(Object.fromEntries(retry)).toEqual(Object.fromEntries(known));
  });

  it("takes the batch apart that the vectors have", () => {
    const hex = /```hex\n([^`]*)```/.exec(section("2.6"))![1]!.replace(/\s/g, "");
    const vector = readBatchVectors().batches.find(({ name }) => name === "every client field")!;
    expect(hex).toBe(Buffer.from(vector.bytes).toString("hex"));
  });

  it("shows the bytes of that batch where they are", () => {
    const bytes = readBatchVectors().batches.find(({ name }) => name === "every client field")!.bytes;
    const found = [...section("2.6").matchAll(/^\| (\d+) +\| `((?:[0-9a-f]{2} ?)+)`/gm)];
    expect(found.length).toBeGreaterThan(15);
    for (const [, offset, text] of found) {
      const shown = text!.split(" ").map((byte) => Number.parseInt(byte, 16));
      expect([...bytes.subarray(Number(offset), Number(offset) + shown.length)], offset).toEqual(shown);
    }
  });

  it("tells of every address, and of no other", () => {
    const { paths } = createApp().getOpenAPI31Document({
      openapi: "3.1.0",
      info: { title: "", version: "" },
    });
    const known = Object.entries(paths ?? {}).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const told = [...DOCUMENT.matchAll(/\*\*`([A-Z]+ \/v1\/[^`?]*)[^`]*`\*\*/g)].map((match) => match[1]!);
    expect([...new Set(told)].sort()).toEqual(known.sort());
  });

  it("tells of every frame that a client may send, and of no other", () => {
    const told = [...section("6.3").matchAll(/^\*\*`(\w+)`\*\*/gm)].map((match) => match[1]!);
    expect(told).toEqual(["publish", "consume", "credit", "settle", "drain", "cancel", "ping"]);
    for (const type of told) {
      const parsed = parseClientFrame({ type });
      expect(parsed.ok || parsed.code, type).not.toBe("bad_frame");
    }
  });

  it("has no row twice", () => {
    for (const number of ["3", "7.1", "9"]) {
      const names = namesOf(section(number));
      expect(names).toEqual([...new Set(names)]);
    }
  });
});
