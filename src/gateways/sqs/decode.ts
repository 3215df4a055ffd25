// From what a protocol carries to a value of a shape. How a node is taken apart is the protocol's, behind a Reader;
// which members there are, which must be there and how many of anything are read is decided here, for both.
import { answered, type Answer, type SqsRefusal } from "./errors.ts";
import { invalidBecause, missing } from "./parameters.ts";
import type { ListShape, MapShape, Member, Shape, StructureShape } from "./shape.ts";

/** Most of any list or map that is read. Every limit of the service is far below, and is told by its own name. */
export const ITEM_COUNT_MAX = 10_000;

export type ScalarKind = Exclude<Shape["kind"], "list" | "map" | "structure">;
export type Scalar = string | number | boolean | Uint8Array;

/** Takes a protocol's nodes apart. `path` is for refusals only: the parameter as Query writes it. */
export interface Reader<N> {
  scalar(node: N, kind: ScalarKind, path: string): Answer<Scalar>;
  items(node: N, path: string): Answer<readonly N[]>;
  /** No key twice. */
  entries(node: N, shape: MapShape, path: string): Answer<readonly (readonly [key: string, value: N])[]>;
  /** Null when the node is no structure's. */
  refuseStructure(node: N): SqsRefusal | null;
  /** Undefined when the member is absent. */
  member(node: N, name: string, member: Member): N | undefined;
}

/** `prefix` is empty, or ends in a dot: `SendMessageBatchRequestEntry.2.` */
export function decodeStructure<N>(
  reader: Reader<N>,
  shape: StructureShape,
  node: N,
  prefix: string,
): Answer<object> {
  const refusal = reader.refuseStructure(node);
  if (refusal !== null) return refusal;
  const members: [string, unknown][] = [];
  for (const [name, member] of Object.entries(shape.members)) {
    const found = reader.member(node, name, member);
    if (found === undefined) {
      if (member.required) return member.missing ?? missing(prefix + name);
      continue;
    }
    const value = decodeValue(reader, member.shape, found, prefix + (member.query ?? name));
    if (!value.ok) return value;
    members.push([name, value.value]);
  }
  return answered(Object.fromEntries(members));
}

function decodeValue<N>(reader: Reader<N>, shape: Shape, node: N, path: string): Answer<unknown> {
  switch (shape.kind) {
    case "list":
      return decodeList(reader, shape, node, path);
    case "map":
      return decodeMap(reader, shape, node, path);
    case "structure":
      return decodeStructure(reader, shape, node, `${path}.`);
    case "string":
    case "integer":
    case "long":
    case "boolean":
    case "blob":
      return reader.scalar(node, shape.kind, path);
  }
}

function decodeList<N>(
  reader: Reader<N>,
  shape: ListShape,
  node: N,
  path: string,
): Answer<readonly unknown[]> {
  const items = reader.items(node, path);
  if (!items.ok) return items;
  if (items.value.length > ITEM_COUNT_MAX) return tooMany(path);
  const values: unknown[] = [];
  for (const [index, item] of items.value.entries()) {
    const value = decodeValue(reader, shape.item, item, `${path}.${index + 1}`);
    if (!value.ok) return value;
    values.push(value.value);
  }
  return answered(values);
}

/** The keys are the client's: `fromEntries` makes `__proto__` a key like any other, where assignment does not. */
function decodeMap<N>(reader: Reader<N>, shape: MapShape, node: N, path: string): Answer<object> {
  const entries = reader.entries(node, shape, path);
  if (!entries.ok) return entries;
  if (entries.value.length > ITEM_COUNT_MAX) return tooMany(path);
  const values: [string, unknown][] = [];
  for (const [index, [key, item]] of entries.value.entries()) {
    const value = decodeValue(reader, shape.value, item, `${path}.${index + 1}.Value`);
    if (!value.ok) return value;
    values.push([key, value.value]);
  }
  return answered(Object.fromEntries(values));
}

function tooMany(path: string): SqsRefusal {
  return invalidBecause(
    `Value for parameter ${path} is invalid. Reason: It has more than ${ITEM_COUNT_MAX} entries.`,
  );
}

const INTEGER_TEXT = /^[+-]?\d{1,16}$/;

/** Null when it is no whole number, or over what the kind carries. */
export function integerOf(text: string, kind: "integer" | "long"): number | null {
  return INTEGER_TEXT.test(text) ? inRange(Number(text), kind) : null;
}

export function inRange(value: number, kind: "integer" | "long"): number | null {
  const fits = kind === "integer" ? value >= -(2 ** 31) && value < 2 ** 31 : Number.isSafeInteger(value);
  // Adding zero makes zero of the other zero.
  return fits ? value + 0 : null;
}
