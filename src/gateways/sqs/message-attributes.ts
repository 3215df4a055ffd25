// The attributes of a message, as a caller sends them: what is allowed, and what they count for.
import { sqsRefusal, type SqsRefusal } from "./errors.ts";

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
const NAME_CHARACTERS_MAX = 256;
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

export function bytesOf(value: AttributeValue): Uint8Array {
  return value.BinaryValue ?? encoder.encode(value.StringValue);
}

/** Bytes of all names, types and values: they count to the message's size. */
export function sizeOf(attributes: Readonly<Record<string, AttributeValue>>): number {
  let bytes = 0;
  for (const [name, value] of Object.entries(attributes)) {
    bytes += encoder.encode(name + value.DataType).length + bytesOf(value).length;
  }
  return bytes;
}

export function refuseAttributes(attributes: Readonly<Record<string, GivenAttribute>>): SqsRefusal | null {
  const entries = Object.entries(attributes);
  if (entries.length > ATTRIBUTES_MAX) {
    return invalid(
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
    if (name !== TRACE_HEADER) return invalid(`Message system attribute name '${name}' is invalid.`);
    const refused = refuseValue(name, value);
    if (refused !== null) return refused;
    if (value.DataType !== "String") {
      return invalid(`The type of message system attribute '${name}' is invalid. It must be String.`);
    }
  }
  return null;
}

function refuseName(name: string): SqsRefusal | null {
  if (name === "") return invalid("The request must contain non-empty message (user) attribute names.");
  if (name.length > NAME_CHARACTERS_MAX) {
    return invalid(`Message (user) attribute name must be shorter than ${NAME_CHARACTERS_MAX} bytes.`);
  }
  if (/^(aws\.|amazon)/i.test(name)) {
    return invalid(
      "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. These strings are reserved for internal use.",
    );
  }
  if (!/^[A-Za-z0-9_.\u00C0-\u017F-]+$/.test(name)) {
    return invalid(
      "Message (user) attributes name can only contain upper and lower score characters, digits, periods, hyphens and underscores. ",
    );
  }
  if (name.startsWith("."))
    return invalid("Message (user) attribute name must not begin with character '.'.");
  if (name.endsWith(".")) return invalid("Message (user) attribute name must not end with character '.'.");
  return name.includes("..")
    ? invalid("Message (user) attribute name must not have successive '.' characters.")
    : null;
}

function refuseValue(name: string, value: GivenAttribute): SqsRefusal | null {
  const { DataType: type = "", StringValue, BinaryValue } = value;
  if (type === "") {
    return invalid(`The message (user) attribute '${name}' must contain a non-empty message attribute type.`);
  }
  if (encoder.encode(type).length > NAME_CHARACTERS_MAX) {
    return invalid(`Message (user) attribute type must be shorter than ${NAME_CHARACTERS_MAX} bytes.`);
  }
  if (!/^(String|Number|Binary)(\.[A-Za-z0-9_.-]*)?$/.test(type)) {
    return invalid(
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
    return invalid(
      `The message (user) attribute '${name}' must contain a non-empty message attribute value.`,
    );
  }
  if (StringValue !== undefined && BinaryValue !== undefined) {
    return invalid(`Message (user) attribute '${name}' must have a single value.`);
  }
  const field = isBinary({ DataType: type }) ? "Binary" : "String";
  if ((field === "Binary") !== (BinaryValue !== undefined)) {
    return invalid(`Message (user) attribute '${name}' with type '${type}' must use field '${field}'.`);
  }
  if ((BinaryValue ?? StringValue!).length === 0) {
    return invalid(`Message (user) attribute '${name}' must contain a non-empty value of type '${type}'.`);
  }
  return StringValue === undefined ? null : refuseText(name, type, StringValue);
}

function refuseText(name: string, type: string, text: string): SqsRefusal | null {
  if (hasForbiddenCharacters(text)) {
    return invalid(`Message (user) attribute '${name}' has a character that is not allowed.`);
  }
  const isNumber = type === "Number" || type.startsWith("Number.");
  if (isNumber && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) {
    return invalid(`Can't cast the value of message (user) attribute '${name}' to a number.`);
  }
  return null;
}

function invalid(message: string): SqsRefusal {
  return sqsRefusal("InvalidParameterValue", message);
}
