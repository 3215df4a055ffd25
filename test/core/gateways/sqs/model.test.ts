// Our tables against the service's model as AWS publishes it with its SDK. Where we differ is written down here.
import * as sdk from "@aws-sdk/client-sqs";
import { describe, expect, it } from "vitest";
import { SQS_ERRORS, type SqsErrorName } from "../../../../src/gateways/sqs/errors.ts";
import type { Member, Shape } from "../../../../src/gateways/sqs/shape.ts";
import { ACTIONS, shapeOf, type ActionName } from "../../../../src/gateways/sqs/shapes.ts";

const exported = sdk as unknown as Readonly<Record<string, unknown>>;

/**
 * What the SDK exports of an action: `[9, namespace, name, traits, input, output]`, of a structure
 * `[3, namespace, name, traits, members, shapes, how many of the first are required]`, of an error the same with -3.
 * A reference is a function; a shape with traits of its place is a pair.
 */
type Published = readonly unknown[];

/** A schema has a namespace, a text, in this place; a pair has its traits, or 0 for none. */
const isPair = (schema: unknown): schema is readonly [unknown, unknown] =>
  Array.isArray(schema) && typeof schema[1] !== "string";

function resolved(schema: unknown): unknown {
  if (typeof schema === "function") return resolved((schema as () => unknown)());
  return isPair(schema) ? resolved(schema[0]) : schema;
}

function traitsOf(schema: unknown): Readonly<Record<string, unknown>> {
  const traits = isPair(schema) ? schema[1] : 0;
  return typeof traits === "object" ? (traits as Readonly<Record<string, unknown>>) : {};
}

const SCALARS: Readonly<Record<number, string>> = { 0: "string", 1: "number", 2: "boolean", 21: "blob" };
const LIST_OF_TEXT = 64;

/** A shape as text, so that a difference can be read. `!` is required, `=` what Query calls it. */
function published(schema: unknown): string {
  const shape = resolved(schema);
  if (shape === LIST_OF_TEXT) return "[string]";
  if (typeof shape === "number") return SCALARS[shape]!;
  const [kind, , , , first, second, requiredCount = 0] = shape as Published;
  if (kind === 1) return `[${published(first)}]`;
  if (kind === 2) return `{${String(traitsOf(first)["xmlName"])}: ${published(second)}}`;
  const shapes = second as readonly unknown[];
  const members = (first as readonly string[]).map((name, index) => {
    const query = traitsOf(shapes[index])["xmlName"] ?? name;
    const mark = index < (requiredCount as number) ? "!" : "";
    return `${name}${mark}=${query as string} ${published(shapes[index])}`;
  });
  return `(${members.sort().join(", ")})`;
}

function ours(shape: Shape): string {
  switch (shape.kind) {
    case "list":
      return `[${ours(shape.item)}]`;
    case "map":
      return `{${shape.key}: ${ours(shape.value)}}`;
    case "structure":
      return `(${Object.entries(shape.members).map(ourMember).sort().join(", ")})`;
    case "integer":
    case "long":
      return "number";
    case "string":
    case "boolean":
    case "blob":
      return shape.kind;
  }
}

function ourMember([name, member]: readonly [string, Member]): string {
  return `${name}${member.required ? "!" : ""}=${member.query ?? name} ${ours(member.shape)}`;
}

/** The model as we take it. */
function taken(action: ActionName, model: string): string {
  return (
    model
      // Left to the action, because SQS tells their absence in its own way: a rule for attributes is broken, or one
      // entry of a batch fails alone.
      .replaceAll("DataType!", "DataType")
      .replace(/(MessageBody|ReceiptHandle)!/g, action.endsWith("Batch") ? "$1" : "$&")
      // The model gives two members of one request the same name in Query. The documentation has this one.
      .replace(
        "MessageSystemAttributeNames=AttributeName",
        "MessageSystemAttributeNames=MessageSystemAttributeName",
      )
  );
}

/** We promise more in an answer than the model does. */
const withoutPromises = (text: string): string => text.replaceAll("!", "");

const actionNames = Object.keys(ACTIONS) as ActionName[];
const publishedAction = (name: string): Published => exported[`${name}$`] as Published;

describe("the table of actions", () => {
  it("has every action of the service", () => {
    const known = Object.keys(exported).filter(
      (name) => (exported[name] as Published | undefined)?.[0] === 9,
    );
    expect(actionNames.map((name) => `${name}$`).sort()).toEqual(known.sort());
    expect(known).toHaveLength(23);
  });

  it.each(actionNames)("takes for %s what the model says", (name) => {
    expect(ours(shapeOf(name).input)).toBe(taken(name, published(publishedAction(name)[4])));
  });

  it.each(actionNames)("gives for %s what the model says", (name) => {
    const { output } = shapeOf(name);
    const model = resolved(publishedAction(name)[5]);
    if (output === null) expect(model).toBe("unit");
    else expect(withoutPromises(ours(output))).toBe(withoutPromises(published(model)));
  });
});

describe("the table of errors", () => {
  const modelled = Object.values(exported).filter(
    (schema): schema is Published =>
      Array.isArray(schema) && schema[0] === -3 && schema[1] === "com.amazonaws.sqs",
  );

  it("has every error of the service under its own name", () => {
    expect(modelled).toHaveLength(28);
    const names = modelled.map((schema) => schema[2] as string);
    expect(names.filter((name) => !Object.hasOwn(SQS_ERRORS, name))).toEqual([]);
  });

  it.each(modelled.map((schema) => [schema[2] as SqsErrorName, schema] as const))(
    "gives %s the type, the code and the status of the model",
    (name, schema) => {
      const traits = schema[3] as { awsQueryError?: readonly [string, number]; httpError?: number };
      const [code, status] = traits.awsQueryError ?? [name, traits.httpError ?? 400];
      expect(SQS_ERRORS[name]).toEqual({ type: `com.amazonaws.sqs#${name}`, code, status, fault: "Sender" });
    },
  );

  it("gives no two errors one type", () => {
    const types = Object.values(SQS_ERRORS).map(({ type }) => type);
    expect(new Set(types).size).toBe(types.length);
  });

  it("blames us for what is ours alone", () => {
    const entries = Object.entries(SQS_ERRORS);
    expect(entries.filter(([, error]) => error.status >= 500 !== (error.fault === "Receiver"))).toEqual([]);
  });
});
