// SendMessage and SendMessageBatch.
import { messageId, UNSTAMPED, type MessageRecord } from "../../../protocol/batch.ts";
import type { PublishCommand, PublishConfirm } from "../../../protocol/commands.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { mustCarry } from "../../../protocol/queue-config.ts";
import type { Result } from "../../../protocol/result.ts";
import { EMPTY_BODY, failuresOf, refuseBatch, type BatchOutcome } from "../batches.ts";
import type { Actions, Caller } from "../caller.ts";
import { answered, sqsRefusal, type Answer, type SqsRefusal } from "../errors.ts";
import { isFifo, messageUuid, queueOfUrl, sequenceNumber } from "../identifiers.ts";
import { md5OfAttributes, md5OfBody } from "../md5.ts";
import {
  hasForbiddenCharacters,
  refuseAttributes,
  refuseSystemAttributes,
  sizeOf,
  TRACE_HEADER,
  type AttributeValue,
} from "../message-attributes.ts";
import { contentToRecord } from "../message-records.ts";
import { ID_PATTERN, invalid, invalidBecause, missing } from "../parameters.ts";
import { NO_DEDUP_ID, sqsRefusalOf } from "../refusals.ts";
import type { InputOf, OutputOf } from "../shapes.ts";

const DELAY_SECONDS_MAX = 900;
const MISFIT = "The request include parameter that is not valid for this queue type.";

type Given = Partial<InputOf<"SendMessage">>;
type Sent = OutputOf<"SendMessage">;

interface Content {
  readonly body: string;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly system: Readonly<Record<string, AttributeValue>>;
}

/** A message that may be sent. */
interface Outgoing {
  readonly command: PublishCommand;
  /** What the answer has the checksums of. */
  readonly content: Content;
  /** A second send within the window is known for one. */
  readonly isDeduplicated: boolean;
}

export const sendActions: Actions<"SendMessage" | "SendMessageBatch"> = {
  async SendMessage(input, caller) {
    const queue = queueOfUrl(input.QueueUrl);
    const outgoing = prepare(input, queue, caller);
    if (!outgoing.ok) return outgoing;
    const sent = await send([outgoing.value], queue, caller);
    return sent.ok ? sent.value[0]! : sent;
  },

  async SendMessageBatch({ QueueUrl, Entries }, caller) {
    const queue = queueOfUrl(QueueUrl);
    const refused =
      refuseBatch(Entries, "SendMessageBatchRequestEntry") ??
      refuseSize(Entries) ??
      (await refuseFifoBatch(Entries, queue, caller));
    if (refused !== null) return refused;
    const prepared = Entries.map((entry) => prepare(entry, queue, caller));
    const outgoing = prepared.flatMap((one) => (one.ok ? [one.value] : []));
    const sent = outgoing.length === 0 ? answered([]) : await send(outgoing, queue, caller);
    if (!sent.ok) return sent;
    const answers = sent.value.values();
    const outcomes = prepared.map((one, i): BatchOutcome<Sent> => ({
      id: Entries[i]!.Id,
      answer: one.ok ? answers.next().value! : one,
    }));
    return answered({
      Successful: outcomes.flatMap(({ id, answer }) => (answer.ok ? [{ Id: id, ...answer.value }] : [])),
      Failed: failuresOf(outcomes),
    });
  },
};

/** In a FIFO queue one entry that lacks its ids is the end of the whole batch. */
async function refuseFifoBatch(
  entries: readonly Given[],
  queue: string,
  { broker }: Caller,
): Promise<SqsRefusal | null> {
  if (!isFifo(queue)) return null;
  if (entries.some(({ MessageGroupId }) => MessageGroupId === undefined)) {
    return invalidBecause(missing("MessageGroupId").message);
  }
  if (entries.every(({ MessageDeduplicationId }) => MessageDeduplicationId !== undefined)) return null;
  const info = await broker.ask({
    queue,
    verbs: ["publish"],
    method: "inspect",
    repeatable: true,
    run: (stub) => stub.inspect(),
  });
  if (!info.ok) return sqsRefusalOf(info);
  return mustCarry(info.value.config).includes("dedupId") ? NO_DEDUP_ID : null;
}

/** All entries count, those that would be refused on their own too. */
function refuseSize(entries: readonly Given[]): SqsRefusal | null {
  const bytes = entries.reduce((sum, entry) => sum + bytesOf(entry), 0);
  if (bytes <= LIMITS.bodyBytesMax) return null;
  return sqsRefusal(
    "BatchRequestTooLong",
    `Batch requests cannot be longer than ${LIMITS.bodyBytesMax} bytes. You have sent ${bytes} bytes.`,
  );
}

/** Publishes each on its own, in one call. */
async function send(
  outgoing: readonly Outgoing[],
  queue: string,
  { broker }: Caller,
): Promise<Answer<Answer<Sent>[]>> {
  const repeatable = outgoing.every(({ isDeduplicated }) => isDeduplicated);
  const commands = outgoing.map(({ command }) => command);
  const published = await broker.publish(queue, commands, repeatable);
  if (!published.ok) return sqsRefusalOf(published);
  // Nothing of the queue is there: that is no failure of single messages.
  const noQueue = published.value.find((confirm) => !confirm.ok && confirm.code === "queue_not_found");
  if (noQueue?.ok === false) return sqsRefusalOf(noQueue);
  const answers = published.value.map((confirm, i) => sentAs(confirm, outgoing[i]!, queue));
  return answered(await Promise.all(answers));
}

async function sentAs(
  confirm: Result<PublishConfirm>,
  { content }: Outgoing,
  queue: string,
): Promise<Answer<Sent>> {
  if (!confirm.ok) {
    return confirm.code === "body_too_large"
      ? tooLarge(Number(confirm.facts?.["bytesMax"]))
      : sqsRefusalOf(confirm);
  }
  const { origin, sequences, refused = [] } = confirm.value;
  const [refusal] = refused;
  if (refusal !== undefined) return sqsRefusalOf({ ok: false, ...refusal });
  const sequence = sequences[0]?.[0] ?? 0;
  return answered({
    MessageId: messageUuid(messageId(origin, sequence)),
    MD5OfMessageBody: await md5OfBody(content.body),
    ...(await md5Of("MD5OfMessageAttributes", content.attributes)),
    ...(await md5Of("MD5OfMessageSystemAttributes", content.system)),
    ...(isFifo(queue) ? { SequenceNumber: sequenceNumber(sequence) } : {}),
  });
}

function prepare(given: Given, queue: string, caller: Caller): Answer<Outgoing> {
  const { MessageBody: body = "", MessageAttributes = {}, MessageSystemAttributes = {} } = given;
  const fifo = isFifo(queue);
  const refused =
    refuseBody(body) ??
    refuseAttributes(MessageAttributes) ??
    refuseSystemAttributes(MessageSystemAttributes) ??
    refuseOptions(given, fifo);
  if (refused !== null) return refused;
  // What was checked has a type and a value.
  const attributes = MessageAttributes as Record<string, AttributeValue>;
  const system = MessageSystemAttributes as Record<string, AttributeValue>;
  const bytes = bytesOf(given);
  if (bytes > LIMITS.bodyBytesMax) return tooLarge(LIMITS.bodyBytesMax);
  const trace = system[TRACE_HEADER] ?? caller.trace;
  const sender = caller.broker.claims.subject;
  const record: MessageRecord = {
    ...optionsOf(given, fifo),
    ...contentToRecord({ body, attributes, sender, ...(trace === undefined ? {} : { trace }) }),
  };
  const batch = caller.codec.encode([record], UNSTAMPED, "client");
  if (!batch.ok) return sqsRefusalOf(batch);
  const isDeduplicated = record.dedupId !== undefined;
  return answered({
    command: { batch: batch.value, bodyBytes: bytes },
    content: { body, attributes, system },
    isDeduplicated,
  });
}

function bytesOf({ MessageBody = "", MessageAttributes = {} }: Given): number {
  return new TextEncoder().encode(MessageBody).length + sizeOf(MessageAttributes);
}

async function md5Of(
  name: "MD5OfMessageAttributes" | "MD5OfMessageSystemAttributes",
  attributes: Readonly<Record<string, AttributeValue>>,
): Promise<Partial<Sent>> {
  const md5 = await md5OfAttributes(attributes);
  return md5 === null ? {} : { [name]: md5 };
}

function optionsOf(
  { DelaySeconds: delay, MessageGroupId, MessageDeduplicationId }: Given,
  fifo: boolean,
): Pick<MessageRecord, "delayMs" | "orderingKey" | "dedupId"> {
  // None at all leaves a FIFO queue its own delay.
  const isOwnDelay = delay !== undefined && !(fifo && delay === 0);
  return {
    ...(isOwnDelay ? { delayMs: delay * 1_000 } : {}),
    ...(MessageGroupId === undefined ? {} : { orderingKey: MessageGroupId }),
    ...(MessageDeduplicationId === undefined ? {} : { dedupId: MessageDeduplicationId }),
  };
}

function refuseBody(body: string): SqsRefusal | null {
  if (body === "") return EMPTY_BODY;
  return hasForbiddenCharacters(body)
    ? sqsRefusal(
        "InvalidMessageContents",
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
      )
    : null;
}

function refuseOptions(given: Given, fifo: boolean): SqsRefusal | null {
  const { DelaySeconds: delay, MessageGroupId: group, MessageDeduplicationId: id } = given;
  if (delay !== undefined && (delay < 0 || delay > DELAY_SECONDS_MAX)) {
    return invalid("DelaySeconds", delay, `DelaySeconds must be >= 0 and <= ${DELAY_SECONDS_MAX}.`);
  }
  if (fifo && delay !== undefined && delay !== 0) return invalid("DelaySeconds", delay, MISFIT);
  if (!fifo && id !== undefined) return invalid("MessageDeduplicationId", id, MISFIT);
  return refuseId("MessageGroupId", group) ?? refuseId("MessageDeduplicationId", id);
}

function refuseId(name: string, value: string | undefined): SqsRefusal | null {
  if (value === undefined || ID_PATTERN.test(value)) return null;
  return invalid(
    name,
    value,
    `${name} can only include alphanumeric and punctuation characters. 1 to 128 in length.`,
  );
}

function tooLarge(bytesMax: number): SqsRefusal {
  return invalidBecause(
    `One or more parameters are invalid. Reason: Message must be shorter than ${bytesMax} bytes.`,
  );
}
