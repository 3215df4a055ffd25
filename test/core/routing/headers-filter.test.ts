import { describe, expect, it } from "vitest";
import type { Headers } from "../../../src/protocol/batch.ts";
import type { HeadersFilter } from "../../../src/protocol/exchange-commands.ts";
import { explainFilter, filterMatches } from "../../../src/routing/headers-filter.ts";

const all = (headers: HeadersFilter["headers"]): HeadersFilter => ({ match: "all", headers });
const any = (headers: HeadersFilter["headers"]): HeadersFilter => ({ match: "any", headers });
const proto: Headers = Object.fromEntries([["__proto__", 1]]);

describe("a headers filter", () => {
  it.each<[string, HeadersFilter, Headers, boolean]>([
    ["all that are asked are there", all({ a: 1, b: "x" }), { a: 1, b: "x", c: true }, true],
    ["one of all is missing", all({ a: 1, b: "x" }), { a: 1 }, false],
    ["one of all is another", all({ a: 1, b: "x" }), { a: 1, b: "y" }, false],
    ["one of any fits", any({ a: 1, b: "x" }), { a: 2, b: "x" }, true],
    ["none of any fits", any({ a: 1, b: "x" }), { a: 2, c: "x" }, false],
    ["null: any value", all({ a: null }), { a: false }, true],
    ["null: bytes too", all({ a: null }), { a: new Uint8Array() }, true],
    ["null: not there", all({ a: null }), {}, false],
    ["null among any", any({ a: null, b: 1 }), { a: "" }, true],
    ["text is no number", all({ a: "1" }), { a: 1 }, false],
    ["number is no text", all({ a: 1 }), { a: "1" }, false],
    ["true is no text", all({ a: true }), { a: "true" }, false],
    ["false is not zero", all({ a: false }), { a: 0 }, false],
    ["false is false", all({ a: false }), { a: false }, true],
    ["bytes equal no text", all({ a: "x" }), { a: new Uint8Array([120]) }, false],
    ["names have their case", all({ A: 1 }), { a: 1 }, false],
    ["what every object has is no header", any({ toString: null, __proto__: null }), {}, false],
    ["a header may be called so", { match: "all", headers: proto as HeadersFilter["headers"] }, proto, true],
  ])("%s", (_name, filter, headers, matches) => {
    expect(filterMatches(filter, headers)).toBe(matches);
    expect(explainFilter(filter, headers).matches).toBe(matches);
  });

  it.each<[HeadersFilter, Headers, string]>([
    [all({ region: "us" }), { region: "eu" }, 'header "region": is "eu", not "us"'],
    [all({ n: 1 }), { n: "1" }, 'header "n": is "1", not 1'],
    [all({ n: 1, region: "us" }), { n: 1 }, 'header "region": is missing'],
    [all({ a: "x" }), { a: new Uint8Array(3) }, 'header "a": is 3 bytes, not "x"'],
    [any({ a: 1, b: 2 }), { b: 3 }, 'none fits; header "a": is missing'],
    [any({ a: true }), { a: false }, 'header "a": is false, not true'],
    [all({ a: "x" }), { a: "y".repeat(200) }, `header "a": is "${"y".repeat(60)}…", not "x"`],
    [all({ a: 1 }), { a: 1 }, "the headers fit"],
  ])("%j says of %j: %s", (filter, headers, why) => {
    expect(explainFilter(filter, headers).why).toBe(why);
  });
});
