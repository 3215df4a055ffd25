// Arbitrary text stays inside its element, and comes out of a parser as it went in.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { element, escapeXml, textElement } from "../../../../src/gateways/sqs/xml.ts";

/** Content of an element by the grammar of XML 1.0: its characters, and the references that are made here. */
const CONTENT =
  /^(?:[\t\n\u0020-\u0025\u0027-\u003b=?-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]|&(?:amp|lt|gt|quot|apos|#xD);)*$/u;

const REFERENCES: Readonly<Record<string, string>> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&apos;": "'",
  "&#xD;": "\r",
};

/** As a parser reads content: ends of lines first, then references. */
const parsed = (content: string): string =>
  content.replace(/\r\n?/g, "\n").replace(/&[#a-zA-Z]+;/g, (reference) => REFERENCES[reference]!);

const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 30 });
const anything = fc.oneof(
  units.map((codes) => String.fromCharCode(...codes)),
  fc.string({
    unit: fc.constantFrom(
      ...Array.from("<>&\"'\r\n\t]![CDATA-?/"),
      "&amp;",
      "]]>",
      "\u0000",
      "\ud800",
      "\uffff",
    ),
  }),
);

/** What XML 1.0 calls a character. */
const carried = (text: string): string =>
  Array.from(text.toWellFormed())
    .map((one) => (/[\t\n\r\u0020-\ufffd]/.test(one) || one.codePointAt(0)! > 0xffff ? one : "\ufffd"))
    .join("");

describe("text in XML", () => {
  it("is content and nothing else, whatever it says", () => {
    fc.assert(
      fc.property(anything, (text) => {
        expect(escapeXml(text)).toMatch(CONTENT);
      }),
    );
  });

  it("is read as it was written, but for what XML cannot carry", () => {
    fc.assert(
      fc.property(anything, (text) => {
        expect(parsed(escapeXml(text))).toBe(carried(text));
      }),
    );
  });

  it("keeps the end of a line that another system wrote", () => {
    expect(escapeXml("a\r\nb\rc")).toBe("a&#xD;\nb&#xD;c");
  });
});

describe("an element", () => {
  it("without content closes itself", () => {
    expect(element("ReceiveMessageResult", "")).toBe("<ReceiveMessageResult/>");
  });

  it("does not end where its text says", () => {
    expect(textElement("Body", "</Body><Body>")).toBe("<Body>&lt;/Body&gt;&lt;Body&gt;</Body>");
  });
});
