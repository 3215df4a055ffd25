import { describe, expect, it } from "vitest";
import {
  formatInbox,
  formatResumeKey,
  isInbox,
  parseInbox,
  parseResumeKey,
} from "../../../src/protocol/inbox.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { NAME_PATTERN } from "../../../src/protocol/names.ts";

const tag = "0123456789a";

describe("an inbox's address", () => {
  it.each([
    [{ hub: "0", session: 0, tag }, `~0.0.${tag}`],
    [{ hub: "12", session: 35, tag }, `~12.z.${tag}`],
    [{ hub: "63", session: Number.MAX_SAFE_INTEGER, tag }, `~63.2gosa7pa2gv.${tag}`],
  ])("is read as it was written: %j", (inbox, address) => {
    expect(formatInbox(inbox)).toBe(address);
    expect(parseInbox(address)).toEqual(inbox);
    expect(isInbox(address)).toBe(true);
    expect(NAME_PATTERN.test(address)).toBe(false);
  });

  it.each([
    ["a queue's name", "orders"],
    ["a hub that there is none of", `~${LIMITS.hubsMax}.1.${tag}`],
    ["a hub of another writing", `~01.1.${tag}`],
    ["a hub that is no number", `~x.1.${tag}`],
    ["a session of another writing", `~1.01.${tag}`],
    ["a session over 53 bits", `~1.zzzzzzzzzzz.${tag}`],
    ["a tag that is too short", "~1.1.0123456789"],
    ["a tag without end", `~1.1.${"a".repeat(65)}`],
    ["a tag in capitals", "~1.1.0123456789A"],
    ["more than an address", `~1.1.${tag}.`],
    ["a line after it", `~1.1.${tag}\n`],
  ])("is not read from %s", (_name, address) => {
    expect(parseInbox(address)).toBe(null);
  });
});

describe("what resumes a session", () => {
  const secret = "0123456789abcdef".repeat(2);

  it("is read as it was written, fits a subprotocol, and is no inbox", () => {
    const key = { hub: "12", session: Number.MAX_SAFE_INTEGER, secret };
    const text = formatResumeKey(key);
    expect(parseResumeKey(text)).toEqual(key);
    expect(text).toMatch(/^[0-9a-z.]+$/);
    expect(parseInbox(text)).toBe(null);
  });

  it.each([
    `~0.1.${tag}`,
    `0.1.${tag}`,
    `0.1.${secret}0`,
    `0.1.${secret.slice(1)}`,
    `64.1.${secret}`,
    `0.1.${secret}\n`,
  ])("is not read from %j", (text) => {
    expect(parseResumeKey(text)).toBe(null);
  });
});
