// PROTOCOL.md against the code: every number, code, address and byte in it that the code also has.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createApp } from "../../../src/edge/app.ts";
import { ERRORS, isErrorCode } from "../../../src/protocol/errors.ts";
import { EXCHANGE_DEFAULTS } from "../../../src/protocol/exchange-config.ts";
import { parseSessionFrame } from "../../../src/protocol/exchange-schemas.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { QUEUE_DEFAULTS } from "../../../src/protocol/queue-config.ts";
import { parseClientFrame } from "../../../src/protocol/schemas.ts";
import type {
  SessionClientFrame,
  SessionServerFrame,
  UnsubscribeReason,
} from "../../../src/protocol/session-frames.ts";
import { matches } from "../../../src/routing/topic.ts";
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

/** What a table says of a setting's default, as text. */
function defaultsOf(text: string): [string, string][] {
  return rows(text).map(({ name, cells }) => [name, cells[0]!.replace(/[`,]/g, "")]);
}

function namesOf(text: string): string[] {
  return rows(text).map(({ name }) => name);
}

/** Words of code in a cell, and the empty topic where it is named. */
function topicsOf(cell: string): string[] {
  const words = [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
  return cell.includes("the empty topic") || cell.includes("the empty one") ? [...words, ""] : words;
}

function matchesCell(pattern: string, topic: string): boolean {
  return matches(pattern === "(empty)" ? "" : pattern.slice(1, -1), topic);
}

// A type that is added to the protocol and not here does not compile.
const SESSION_CLIENT_FRAMES: Record<SessionClientFrame["type"], true> = {
  subscribe: true,
  unsubscribe: true,
  seen: true,
  publish: true,
  call: true,
  reply: true,
  consume: true,
  credit: true,
  settle: true,
  cancel: true,
  presence: true,
  unwatch: true,
  reached: true,
  ping: true,
};
const SESSION_SERVER_FRAMES: Record<SessionServerFrame["type"], true> = {
  hello: true,
  subscribed: true,
  events: true,
  slow: true,
  gap: true,
  unsubscribed: true,
  confirm: true,
  routed: true,
  reply: true,
  replied: true,
  consuming: true,
  deliver: true,
  settled: true,
  cancelled: true,
  presence: true,
  presence_changed: true,
  unwatched: true,
  mark: true,
  pong: true,
  error: true,
};
const UNSUBSCRIBE_REASONS: Record<UnsubscribeReason, true> = {
  asked: true,
  exchange_deleted: true,
  interrupted: true,
  grant_ended: true,
};

describe("PROTOCOL.md", () => {
  it("gives every limit its value", () => {
    const limits = rows(section("9")).map(({ name, cells }) => [name, numberOf(cells[0]!)]);
    expect(limits).toHaveLength(Object.keys(LIMITS).length);
    expect(Object.fromEntries(limits)).toEqual(LIMITS);
  });

  it("says of every error whether it closes, and whether to try again", () => {
    const errors = rows(section("3")).filter(({ name }) => isErrorCode(name));
    const told = errors.map(({ name, cells }) => [
      name,
      { status: Number(cells[0]), closes: cells[1] === "yes", retry: cells[2] === "yes" },
    ]);
    const known = Object.entries(ERRORS).map(([code, { status, closes, retry }]) => [
      code,
      { status, closes, retry },
    ]);
    expect(Object.fromEntries(told)).toEqual(Object.fromEntries(known));
  });

  it("gives every setting of a queue its default", () => {
    const settings = rows(section("7.1"));
    expect(settings.map(({ name }) => name).sort()).toEqual(Object.keys(QUEUE_DEFAULTS).sort());
    for (const [name, value] of Object.entries(QUEUE_DEFAULTS)) {
      if (name === "retry") continue;
      const told = settings.find((row) => row.name === name)!.cells[0]!;
      // What is a list, an object or nothing is told as JSON has it.
      expect(told.replace(/[`,]/g, ""), name).toBe(
        typeof value === "object" ? JSON.stringify(value) : String(value),
      );
    }
    const known = Object.entries(QUEUE_DEFAULTS.retry).map(([name, value]) => [
      name,
      typeof value === "string" ? value : JSON.stringify(value),
    ]);
    expect(Object.fromEntries(defaultsOf(section("7.6")))).toEqual(Object.fromEntries(known));
  });

  it("gives every setting of an exchange its default", () => {
    const [config, rest] = section("7.15").split("| field of `history`");
    const { history, ...others } = EXCHANGE_DEFAULTS;
    const known = Object.entries(others).map(([name, value]) => [
      name,
      typeof value === "string" ? value : JSON.stringify(value),
    ]);
    expect(Object.fromEntries(defaultsOf(config!))).toEqual({
      ...Object.fromEntries(known),
      history: "see below",
    });
    const kept = Object.entries(history).map(([name, value]) => [
      name,
      typeof value === "string" ? value : JSON.stringify(value),
    ]);
    const told = defaultsOf(rest!.split("**Kinds.**")[0]!);
    expect(Object.fromEntries(told)).toEqual(Object.fromEntries(kept));
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
    expect(told).toEqual(["publish", "consume", "credit", "settle", "drain", "cancel", "reached", "ping"]);
    for (const type of told) {
      const parsed = parseClientFrame({ type });
      expect(parsed.ok ? "" : parsed.detail, type).not.toContain("is not a type of frame");
    }
  });

  it("tells of every frame that a session's client may send, and of no other", () => {
    const told = [...section("6.10").matchAll(/^\*\*`(\w+)`\*\*/gm)].map((match) => match[1]!);
    expect(told.sort()).toEqual(Object.keys(SESSION_CLIENT_FRAMES).sort());
    for (const type of told) {
      const parsed = parseSessionFrame({ type });
      expect(parsed.ok ? "" : parsed.detail, type).not.toContain("is not a type of frame");
    }
  });

  it("tells of every frame that a session's client may hear, and of no other", () => {
    const [frames, reasons] = section("6.11").split("`reason` of `unsubscribed`");
    expect(namesOf(frames!).sort()).toEqual(Object.keys(SESSION_SERVER_FRAMES).sort());
    expect(namesOf(reasons!).sort()).toEqual(Object.keys(UNSUBSCRIBE_REASONS).sort());
  });

  it("matches topics as it says", () => {
    const table = [...section("7.16").matchAll(/^\| (`[^`]+`|\(empty\)) +\| ([^|]+)\| ([^|]*)\|$/gm)];
    expect(table.length).toBeGreaterThan(15);
    for (const [, pattern, matched, others] of table) {
      for (const topic of topicsOf(matched!))
        expect(matchesCell(pattern!, topic), `${pattern} ${topic}`).toBe(true);
      for (const topic of topicsOf(others!))
        expect(matchesCell(pattern!, topic), `${pattern} ${topic}`).toBe(false);
    }
  });

  it("has no row twice", () => {
    for (const number of ["3", "6.11", "7.1", "7.15", "9"]) {
      const names = namesOf(section(number));
      expect(names).toEqual([...new Set(names)]);
    }
  });
});
