// Why a batch is refused, in numbers and in words. Both codecs speak through this table, so that they can't
// differ. The numbers are those of wasm/refusals.ts.
import { BATCH_LIMITS } from "./limits.ts";
import { refuse, type Refusal } from "./result.ts";

export const REASON = {
  batchOver: 1,
  batchShort: 2,
  magic: 3,
  size: 4,
  noRecords: 5,
  recordsOver: 6,
  checksum: 7,
  leftOver: 8,
  recordShort: 9,
  recordCut: 10,
  flags: 11,
  brokerOnly: 12,
  fieldCut: 13,
  fieldEmpty: 14,
  fieldOver: 15,
  notUtf8: 16,
  notInRange: 17,
  headersOver: 18,
  headerCut: 19,
  headerNameEmpty: 20,
  headerNameOver: 21,
  headerNameNotUtf8: 22,
  headerRepeated: 23,
  headerKind: 24,
  headerNotUtf8: 25,
  headerNotFinite: 26,
} as const;

export type Reason = (typeof REASON)[keyof typeof REASON];

/** The number of a field is the number of its bit in FIELD; the body, which has none, is 15. */
export const FIELD_NUMBER = {
  id: 0,
  timeMs: 1,
  routingKey: 2,
  orderingKey: 3,
  priority: 4,
  delayMs: 5,
  ttlMs: 6,
  dedupId: 7,
  cancelKey: 8,
  correlationId: 9,
  replyTo: 10,
  contentType: 11,
  headers: 12,
  bodyReference: 13,
  death: 14,
  body: 15,
} as const;

const FIELD_NAMES = Object.keys(FIELD_NUMBER);

/** How many bytes a field may take. */
function bytesMax(field: number): number {
  if (field === FIELD_NUMBER.headers) return BATCH_LIMITS.headersBytesMax;
  if (field === FIELD_NUMBER.death) return BATCH_LIMITS.deathBytesMax;
  return field === FIELD_NUMBER.body ? BATCH_LIMITS.bodyBytesMax : BATCH_LIMITS.textBytesMax;
}

/** The largest number a field may hold. */
export function numberMax(field: number): number {
  if (field === FIELD_NUMBER.priority) return BATCH_LIMITS.priorityMax;
  return field === FIELD_NUMBER.timeMs ? Number.MAX_SAFE_INTEGER : BATCH_LIMITS.delayMsMax;
}

type Words = string | ((field: number) => string);

const BATCH_WORDS: Readonly<Record<number, string>> = {
  [REASON.batchOver]: `the batch is over ${BATCH_LIMITS.batchBytesMax} bytes`,
  [REASON.batchShort]: "the batch is shorter than its header",
  [REASON.magic]: "the batch does not start with MLB1",
  [REASON.size]: "the batch's size field is not its length",
  [REASON.noRecords]: "the batch has no records",
  [REASON.recordsOver]: `the batch has over ${BATCH_LIMITS.recordsMax} records`,
  [REASON.checksum]: "the checksum does not match",
  [REASON.leftOver]: "bytes follow the last record",
};

const RECORD_WORDS: Readonly<Record<number, Words>> = {
  [REASON.recordShort]: "its size is below 2 bytes",
  [REASON.recordCut]: "it runs past the end of the batch",
  [REASON.flags]: "it has unknown flags",
  [REASON.brokerOnly]: (field) => `${FIELD_NAMES[field]} may be set by the broker only`,
  [REASON.fieldCut]: (field) => `${FIELD_NAMES[field]} runs past the end of the record`,
  [REASON.fieldEmpty]: (field) => `${FIELD_NAMES[field]} is empty`,
  [REASON.fieldOver]: (field) => `${FIELD_NAMES[field]} is over ${bytesMax(field)} bytes`,
  [REASON.notUtf8]: (field) => `${FIELD_NAMES[field]} is not valid UTF-8`,
  [REASON.notInRange]: (field) => `${FIELD_NAMES[field]} is not a whole number from 0 to ${numberMax(field)}`,
  [REASON.headersOver]: `headers are more than ${BATCH_LIMITS.headersMax}`,
  [REASON.headerCut]: "a header runs past the end of the headers",
  [REASON.headerNameEmpty]: "a header's name is empty",
  [REASON.headerNameOver]: `a header's name is over ${BATCH_LIMITS.textBytesMax} bytes`,
  [REASON.headerNameNotUtf8]: "a header's name is not valid UTF-8",
  [REASON.headerRepeated]: "a header's name is repeated",
  [REASON.headerKind]: "a header's value is of an unknown kind",
  [REASON.headerNotUtf8]: "a header's value is not valid UTF-8",
  [REASON.headerNotFinite]: "a header's value is not a finite number",
};

export function refuseBatch(reason: Reason, record: number, field: number): Refusal {
  const code = reason === REASON.batchOver ? "batch_too_large" : "bad_batch";
  const whole = BATCH_WORDS[reason];
  if (whole !== undefined) return refuse(code, whole);
  const words = RECORD_WORDS[reason]!;
  const detail = `record ${record}: ${typeof words === "string" ? words : words(field)}`;
  return refuse(reason === REASON.fieldOver && field === FIELD_NUMBER.body ? "body_too_large" : code, detail);
}
