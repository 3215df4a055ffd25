// ReceiveMessage.
import { deliveredRecords, type DeliveredRecord } from "../../../protocol/delivered.ts";
import type { DeathRecord, Delivery } from "../../../protocol/commands.ts";
import { LIMITS } from "../../../protocol/limits.ts";
import { readBodyReference } from "../../../protocol/message-json.ts";
import type { Actions, Caller } from "../caller.ts";
import { answered, sqsRefusal, type SqsRefusal } from "../errors.ts";
import { arnOf, isFifo, messageUuid, queueOfUrl, receiptHandle, sequenceNumber } from "../identifiers.ts";
import { md5OfAttributes, md5OfBody } from "../md5.ts";
import { TRACE_HEADER, type AttributeValue } from "../message-attributes.ts";
import { recordToContent } from "../message-records.ts";
import { ID_PATTERN, invalid, VISIBILITY_SECONDS_MAX } from "../parameters.ts";
import { sqsRefusalOf } from "../refusals.ts";
import type { InputOf, OutputOf } from "../shapes.ts";

type Message = NonNullable<OutputOf<"ReceiveMessage">["Messages"]>[number];
type Wish = InputOf<"ReceiveMessage">;

const MESSAGES_MAX = 10;
const WAIT_SECONDS_MAX = 20;

/** System attributes that a message may have. */
export const SYSTEM_NAMES = [
  "SenderId",
  "SentTimestamp",
  "ApproximateReceiveCount",
  "ApproximateFirstReceiveTimestamp",
  "SequenceNumber",
  "MessageDeduplicationId",
  "MessageGroupId",
  "AWSTraceHeader",
  "DeadLetterQueueSourceArn",
] as const;

type SystemName = (typeof SYSTEM_NAMES)[number];

export const receiveActions: Actions<"ReceiveMessage"> = {
  async ReceiveMessage(input, caller) {
    const queue = queueOfUrl(input.QueueUrl);
    const refused = refuseWish(input);
    if (refused !== null) return refused;
    const {
      MaxNumberOfMessages: max = 1,
      VisibilityTimeout,
      WaitTimeSeconds,
      ReceiveRequestAttemptId,
    } = input;
    const command = {
      max,
      ...(VisibilityTimeout === undefined ? {} : { leaseMs: VisibilityTimeout * 1_000 }),
      // Standard queues don't look at it.
      ...(ReceiveRequestAttemptId === undefined || !isFifo(queue)
        ? {}
        : { attemptId: ReceiveRequestAttemptId }),
    };
    const waitMs = WaitTimeSeconds === undefined ? undefined : WaitTimeSeconds * 1_000;
    const delivery = await caller.broker.receive(queue, command, waitMs, caller.signal);
    if (!delivery.ok) return sqsRefusalOf(delivery);
    const messages = await messagesOf(delivery.value, input, queue, caller);
    return answered(messages.length === 0 ? {} : { Messages: messages });
  },
};

function refuseWish(wish: Wish): SqsRefusal | null {
  const { MaxNumberOfMessages: max = 1, WaitTimeSeconds: wait = 0, VisibilityTimeout: timeout = 0 } = wish;
  if (max < 1 || max > MESSAGES_MAX) {
    return invalid("MaxNumberOfMessages", max, `Must be between 1 and ${MESSAGES_MAX}, if provided.`);
  }
  if (wait < 0 || wait > WAIT_SECONDS_MAX) {
    return invalid("WaitTimeSeconds", wait, `Must be >= 0 and <= ${WAIT_SECONDS_MAX}, if provided.`);
  }
  if (timeout < 0 || timeout > VISIBILITY_SECONDS_MAX) {
    return invalid(
      "VisibilityTimeout",
      timeout,
      `Must be >= 0 and <= ${VISIBILITY_SECONDS_MAX}, if provided.`,
    );
  }
  const attemptId = wish.ReceiveRequestAttemptId;
  if (attemptId !== undefined && !ID_PATTERN.test(attemptId)) {
    return invalid(
      "ReceiveRequestAttemptId",
      attemptId,
      "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length.",
    );
  }
  const unknown = systemNames(wish).find((name) => name !== "All" && !isSystemName(name));
  return unknown === undefined ? null : sqsRefusal("InvalidAttributeName", `Unknown Attribute ${unknown}.`);
}

function systemNames({ AttributeNames = [], MessageSystemAttributeNames = [] }: Wish): string[] {
  return [...AttributeNames, ...MessageSystemAttributeNames];
}

function isSystemName(name: string): name is SystemName {
  return (SYSTEM_NAMES as readonly string[]).includes(name);
}

async function messagesOf(delivery: Delivery, wish: Wish, queue: string, caller: Caller): Promise<Message[]> {
  const messages: Message[] = [];
  const { lease, key } = delivery;
  const held = { lease, ...(key && { key }) };
  for (const delivered of deliveredRecords(delivery, caller.codec)) {
    const bytes = await bodyOf(delivered, caller);
    const { body, attributes, trace, sender } = recordToContent(delivered.record.headers, bytes);
    const wanted = wantedOf(attributes, wish.MessageAttributeNames ?? []);
    const system = systemOf(delivered, wish, queue, caller, { trace, sender });
    messages.push({
      MessageId: messageUuid(delivered.id),
      ReceiptHandle: receiptHandle(queue, {
        ...held,
        sequence: delivered.sequence,
        origin: delivered.origin,
      }),
      MD5OfBody: await md5OfBody(body),
      Body: body,
      ...(Object.keys(system).length === 0 ? {} : { Attributes: system }),
      ...(Object.keys(wanted).length === 0
        ? {}
        : { MessageAttributes: wanted, MD5OfMessageAttributes: (await md5OfAttributes(wanted))! }),
    });
  }
  return messages;
}

/** A body in a bucket that is gone or too large comes as its reference. */
async function bodyOf({ record }: DeliveredRecord, { broker }: Caller): Promise<Uint8Array> {
  if (!record.bodyReference) return record.body;
  const { reference } = readBodyReference(record.body);
  return (await broker.body(reference, LIMITS.inlinedBytesMax)) ?? record.body;
}

/** Names, `All`, `*`, `.*`, and everything that begins with what stands before a `.*`. */
function wantedOf(
  attributes: Readonly<Record<string, AttributeValue>>,
  names: readonly string[],
): Record<string, AttributeValue> {
  const isWanted = (attribute: string): boolean =>
    names.some(
      (name) =>
        name === "All" ||
        name === "*" ||
        name === attribute ||
        (name.endsWith(".*") && attribute.startsWith(name.slice(0, -2))),
    );
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => isWanted(name)));
}

interface Known {
  readonly trace: AttributeValue | undefined;
  readonly sender: string | undefined;
}

function systemOf(
  { record, run, sequence, timeMs }: DeliveredRecord,
  wish: Wish,
  queue: string,
  { region }: Caller,
  { trace, sender }: Known,
): Record<string, string> {
  const death = record.death === undefined ? null : (JSON.parse(record.death) as DeathRecord);
  const isDead = death !== null && death.redrivenMs === undefined;
  const values: Record<SystemName, string | undefined> = {
    SenderId: sender,
    SentTimestamp: String(timeMs),
    // A dead letter goes on counting.
    ApproximateReceiveCount: String(run.attempt + (isDead ? death.attempts : 0)),
    ApproximateFirstReceiveTimestamp: String(run.firstSentMs),
    SequenceNumber: isFifo(queue) ? sequenceNumber(sequence) : undefined,
    MessageDeduplicationId: record.dedupId,
    MessageGroupId: record.orderingKey,
    [TRACE_HEADER]: trace?.StringValue,
    DeadLetterQueueSourceArn: isDead ? arnOf(region, death.queue) : undefined,
  };
  const names = systemNames(wish);
  const wanted = names.includes("All") ? SYSTEM_NAMES : SYSTEM_NAMES.filter((name) => names.includes(name));
  return Object.fromEntries(
    wanted.flatMap((name) => (values[name] === undefined ? [] : [[name, values[name]]])),
  );
}
