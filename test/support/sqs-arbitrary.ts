// Arbitrary values of the shapes of SQS.
import * as fc from "fast-check";
import type { Shape, StructureShape } from "../../src/gateways/sqs/shape.ts";

/** What breaks markup, forms and JSON, beside plain text of every plane. */
const character = fc.oneof(
  fc.constantFrom(...Array.from("<>&\"'\r\n\t %+=;#\\/]é日😀\u0085\u2028\ufeff")),
  fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 1 }),
);

/** Text that XML 1.0 carries. It begins with a letter: the SDK's own parser drops an element of spaces alone. */
export const text = fc.string({ unit: character, maxLength: 12 }).map((rest) => `a${rest}`);

export const key = fc.oneof(
  text,
  fc.constantFrom("__proto__", "constructor", "toString", "1", "Name", "a.b"),
);
/** The SDK loses `__proto__` from maps that it is told. */
export const toldKey = key.filter((one) => one !== "__proto__");

function valueOf(shape: Shape, keys: fc.Arbitrary<string>): fc.Arbitrary<unknown> {
  switch (shape.kind) {
    case "string":
      return text;
    case "integer":
      return fc.integer();
    case "long":
      return fc.maxSafeInteger();
    case "boolean":
      return fc.boolean();
    case "blob":
      return fc.uint8Array({ minLength: 1, maxLength: 20 });
    case "list":
      return fc.array(valueOf(shape.item, keys), { minLength: 1, maxLength: 3 });
    case "map":
      return fc
        .uniqueArray(fc.tuple(keys, valueOf(shape.value, keys)), {
          minLength: 1,
          maxLength: 3,
          selector: ([one]) => one,
        })
        .map((entries) => Object.fromEntries(entries));
    case "structure":
      return structureOf(shape, keys);
  }
}

/** Optional members come and go; `without` never come. */
export function structureOf(
  shape: StructureShape,
  keys: fc.Arbitrary<string>,
  without: readonly string[] = [],
): fc.Arbitrary<Record<string, unknown>> {
  const members = Object.entries(shape.members).filter(([member]) => !without.includes(member));
  return fc.record(
    Object.fromEntries(members.map(([member, { shape: of }]) => [member, valueOf(of, keys)])),
    { requiredKeys: members.filter(([, { required }]) => required).map(([member]) => member) },
  );
}
