// The attributes of a message, as a caller sends them: what is allowed, and what they count for.
import { sqsRefusal, type SqsRefusal } from "./errors.ts";
import { invalidBecause } from "./parameters.ts";

export interface AttributeValue {
  readonly DataType: string;
  /** One of the two is there: of Binary the second. */
  readonly StringValue?: string;
  readonly BinaryValue?: Uint8Array;
}

/** As it comes: any of it may be missing. */
export type GivenAttribute = Partial<AttributeValue> & {
  readonly StringListValues?: readonly string[];
  readonly BinaryListValues?: readonly Uint8Array[];
};

const ATTRIBUTES_MAX = 10;
/** Of a name, and of a type. The service says "shorter than 256". */
const NAME_BYTES_MAX = 255;
export const TRACE_HEADER = "AWSTraceHeader";

const encoder = new TextEncoder();

/** What XML 1.0 can't carry, and a lone half of a surrogate pair. */
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u;

export function hasForbiddenCharacters(text: string): boolean {
  return FORBIDDEN.test(text);
}

export function isBinary({ DataType }: Pick<AttributeValue, "DataType">): boolean {
  return DataType === "Binary" || DataType.startsWith("Binary.");
}

export function bytesOf({ BinaryValue, StringValue }: GivenAttribute): Uint8Array {
  return BinaryValue ?? encoder.encode(StringValue);
}

/** Bytes of all names, types and values: they count to the message's size. */
export function sizeOf(attributes: Readonly<Record<string, GivenAttribute>>): number {
  let bytes = 0;
  for (const [name, value] of Object.entries(attributes)) {
    bytes += encoder.encode(name + (value.DataType ?? "")).length + bytesOf(value).length;
  }
  return bytes;
}

export function refuseAttributes(attributes: Readonly<Record<string, GivenAttribute>>): SqsRefusal | null {
  const entries = Object.entries(attributes);
  if (entries.length > ATTRIBUTES_MAX) {
    return invalidBecause(
      `Number of message attributes [${entries.length}] exceeds the allowed maximum [${ATTRIBUTES_MAX}].`,
    );
  }
  for (const [name, value] of entries) {
    const refused = refuseName(name) ?? refuseValue(name, value);
    if (refused !== null) return refused;
  }
  return null;
}

/** There is one that callers may set. */
export function refuseSystemAttributes(
  attributes: Readonly<Record<string, GivenAttribute>>,
): SqsRefusal | null {
  for (const [name, value] of Object.entries(attributes)) {
    if (name !== TRACE_HEADER) return invalidBecause(`Message system attribute name '${name}' is invalid.`);
    const refused = refuseValue(name, value);
    if (refused !== null) return refused;
    if (value.DataType !== "String") {
      return invalidBecause(`The type of message system attribute '${name}' is invalid. It must be String.`);
    }
  }
  return null;
}

function isTooLong(text: string): boolean {
  return encoder.encode(text).length > NAME_BYTES_MAX;
}

function refuseName(name: string): SqsRefusal | null {
  if (name === "")
    return invalidBecause("The request must contain non-empty message (user) attribute names.");
  if (isTooLong(name)) {
    return invalidBecause(`Message (user) attribute name must be shorter than ${NAME_BYTES_MAX + 1} bytes.`);
  }
  if (/^(aws\.|amazon)/i.test(name)) {
    return invalidBecause(
      "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. These strings are reserved for internal use.",
    );
  }
  if (!/^[A-Za-z0-9_.\u00C0-\u017F-]+$/.test(name)) {
    return invalidBecause(
      "Message (user) attributes name can only contain upper and lower score characters, digits, periods, hyphens and underscores. ",
    );
  }
  if (name.startsWith("."))
    return invalidBecause("Message (user) attribute name must not begin with character '.'.");
  if (name.endsWith("."))
    return invalidBecause("Message (user) attribute name must not end with character '.'.");
  return name.includes("..")
    ? invalidBecause("Message (user) attribute name must not have successive '.' characters.")
    : null;
}

function refuseValue(name: string, value: GivenAttribute): SqsRefusal | null {
  const { DataType: type = "", StringValue, BinaryValue } = value;
  if (type === "") {
    return invalidBecause(
      `The message (user) attribute '${name}' must contain a non-empty message attribute type.`,
    );
  }
  if (isTooLong(type)) {
    return invalidBecause(`Message (user) attribute type must be shorter than ${NAME_BYTES_MAX + 1} bytes.`);
  }
  if (!/^(String|Number|Binary)(\.[A-Za-z0-9_.-]*)?$/.test(type)) {
    return invalidBecause(
      `The type of message (user) attribute '${name}' is invalid. You must use only the following supported type prefixes: Binary, Number, String.`,
    );
  }
  if (value.StringListValues !== undefined || value.BinaryListValues !== undefined) {
    return sqsRefusal(
      "UnsupportedOperation",
      "Message attribute list values in SendMessage operation are not supported.",
    );
  }
  if (StringValue === undefined && BinaryValue === undefined) {
    return invalidBecause(
      `The message (user) attribute '${name}' must contain a non-empty message attribute value.`,
    );
  }
  if (StringValue !== undefined && BinaryValue !== undefined) {
    return invalidBecause(`Message (user) attribute '${name}' must have a single value.`);
  }
  const field = isBinary({ DataType: type }) ? "Binary" : "String";
  if ((field === "Binary") !== (BinaryValue !== undefined)) {
    return invalidBecause(
      `Message (user) attribute '${name}' with type '${type}' must use field '${field}'.`,
    );
  }
  if ((BinaryValue ?? StringValue!).length === 0) {
    return invalidBecause(
      `Message (user) attribute '${name}' must contain a non-empty value of type '${type}'.`,
    );
  }
  return StringValue === undefined ? null : refuseText(name, type, StringValue);
}

function refuseText(name: string, type: string, text: string): SqsRefusal | null {
  if (hasForbiddenCharacters(text)) {
    return invalidBecause(`Message (user) attribute '${name}' has a character that is not allowed.`);
  }
  const isNumber = type === "Number" || type.startsWith("Number.");
  if (isNumber && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) {
    return invalidBecause(`Can't cast the value of message (user) attribute '${name}' to a number.`);
  }
  return null;
}
