import { describe, expect, it } from "vitest";
import { formatInbox, isInbox, parseInbox } from "../../../src/protocol/inbox.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { NAME_PATTERN } from "../../../src/protocol/names.ts";

const secret = "0123456789a";

describe("an inbox's address", () => {
  it.each([
    [{ hub: "0", session: 0, secret }, `~0.0.${secret}`],
    [{ hub: "12", session: 35, secret }, `~12.z.${secret}`],
    [{ hub: "63", session: Number.MAX_SAFE_INTEGER, secret }, `~63.2gosa7pa2gv.${secret}`],
  ])("is read as it was written: %j", (inbox, address) => {
    expect(formatInbox(inbox)).toBe(address);
    expect(parseInbox(address)).toEqual(inbox);
    expect(isInbox(address)).toBe(true);
    expect(NAME_PATTERN.test(address)).toBe(false);
  });

  it.each([
    ["a queue's name", "orders"],
    ["a hub that there is none of", `~${LIMITS.hubsMax}.1.${secret}`],
    ["a hub of another writing", `~01.1.${secret}`],
    ["a hub that is no number", `~x.1.${secret}`],
    ["a session of another writing", `~1.01.${secret}`],
    ["a session over 53 bits", `~1.zzzzzzzzzzz.${secret}`],
    ["a secret that could be guessed", "~1.1.0123456789"],
    ["a secret without end", `~1.1.${"a".repeat(65)}`],
    ["a secret in capitals", "~1.1.0123456789A"],
    ["more than an address", `~1.1.${secret}.`],
    ["a line after it", `~1.1.${secret}\n`],
  ])("is not read from %s", (_name, address) => {
    expect(parseInbox(address)).toBe(null);
  });
});
