// What the 23 actions of SQS take and give, as one table. Both protocols are read and written by it, and the types of
// inputs and outputs follow from it.
//
// It departs from the service's published model in one way: a member whose absence SQS itself tells in another way
// than "missing" (an entry of a batch fails alone; an attribute without a type breaks a rule for attributes) is
// optional here, and is left to the action.
import { NO_QUEUE } from "./errors.ts";
import { invalidBecause, missing } from "./parameters.ts";
import {
  blob,
  boolean,
  integer,
  listOf,
  long,
  mapOf,
  optional,
  required,
  string,
  structure,
  type StructureShape,
  type ValueOf,
} from "./shape.ts";

export interface ActionShape {
  readonly input: StructureShape;
  /** Null: the answer says no more than that it worked. */
  readonly output: StructureShape | null;
}

// What is said of a request without these two is not what is said of others.
const queueUrl = required(string, null, NO_QUEUE);
const queueName = required(
  string,
  null,
  invalidBecause("Value for parameter QueueName is invalid. Reason: Must specify a queue name."),
);

const queueAttributes = mapOf("Name", string);
const tags = mapOf("Key", string);
const queueUrls = listOf(string);

const attributeValue = structure({
  StringValue: optional(string),
  BinaryValue: optional(blob),
  StringListValues: optional(listOf(string), "StringListValue"),
  BinaryListValues: optional(listOf(blob), "BinaryListValue"),
  DataType: optional(string),
});
const messageAttributes = mapOf("Name", attributeValue);

const sendMembers = {
  DelaySeconds: optional(integer),
  MessageAttributes: optional(messageAttributes, "MessageAttribute"),
  MessageSystemAttributes: optional(messageAttributes, "MessageSystemAttribute"),
  MessageDeduplicationId: optional(string),
  MessageGroupId: optional(string),
} as const;

const sentMembers = {
  MD5OfMessageAttributes: optional(string),
  MD5OfMessageSystemAttributes: optional(string),
  SequenceNumber: optional(string),
} as const;

const message = structure({
  MessageId: required(string),
  ReceiptHandle: required(string),
  MD5OfBody: required(string),
  Body: required(string),
  Attributes: optional(mapOf("Name", string), "Attribute"),
  MD5OfMessageAttributes: optional(string),
  MessageAttributes: optional(messageAttributes, "MessageAttribute"),
});

const failed = required(
  listOf(
    structure({
      Id: required(string),
      SenderFault: required(boolean),
      Code: required(string),
      Message: optional(string),
    }),
  ),
  "BatchResultErrorEntry",
);

const moveTask = structure({
  TaskHandle: optional(string),
  Status: required(string),
  SourceArn: required(string),
  DestinationArn: optional(string),
  MaxNumberOfMessagesPerSecond: optional(integer),
  ApproximateNumberOfMessagesMoved: required(long),
  ApproximateNumberOfMessagesToMove: optional(long),
  FailureReason: optional(string),
  StartedTimestamp: required(long),
});

const QUEUE_ACTIONS = {
  CreateQueue: {
    input: structure({
      QueueName: queueName,
      Attributes: optional(queueAttributes, "Attribute"),
      tags: optional(tags, "Tag"),
    }),
    output: structure({ QueueUrl: required(string) }),
  },
  GetQueueUrl: {
    input: structure({ QueueName: queueName, QueueOwnerAWSAccountId: optional(string) }),
    output: structure({ QueueUrl: required(string) }),
  },
  ListQueues: {
    input: structure({
      QueueNamePrefix: optional(string),
      NextToken: optional(string),
      MaxResults: optional(integer),
    }),
    output: structure({ QueueUrls: optional(queueUrls, "QueueUrl"), NextToken: optional(string) }),
  },
  DeleteQueue: { input: structure({ QueueUrl: queueUrl }), output: null },
  PurgeQueue: { input: structure({ QueueUrl: queueUrl }), output: null },
  GetQueueAttributes: {
    input: structure({ QueueUrl: queueUrl, AttributeNames: optional(listOf(string), "AttributeName") }),
    output: structure({ Attributes: optional(queueAttributes, "Attribute") }),
  },
  SetQueueAttributes: {
    input: structure({
      QueueUrl: queueUrl,
      Attributes: required(queueAttributes, "Attribute", missing("Attribute.Name")),
    }),
    output: null,
  },
  TagQueue: { input: structure({ QueueUrl: queueUrl, Tags: required(tags, "Tag") }), output: null },
  UntagQueue: {
    input: structure({ QueueUrl: queueUrl, TagKeys: required(listOf(string), "TagKey") }),
    output: null,
  },
  ListQueueTags: {
    input: structure({ QueueUrl: queueUrl }),
    output: structure({ Tags: optional(tags, "Tag") }),
  },
  AddPermission: {
    input: structure({
      QueueUrl: queueUrl,
      Label: required(string),
      AWSAccountIds: required(listOf(string), "AWSAccountId"),
      Actions: required(listOf(string), "ActionName"),
    }),
    output: null,
  },
  RemovePermission: { input: structure({ QueueUrl: queueUrl, Label: required(string) }), output: null },
} as const satisfies Record<string, ActionShape>;

const MESSAGE_ACTIONS = {
  SendMessage: {
    input: structure({ QueueUrl: queueUrl, MessageBody: required(string), ...sendMembers }),
    output: structure({ MessageId: required(string), MD5OfMessageBody: required(string), ...sentMembers }),
  },
  SendMessageBatch: {
    input: structure({
      QueueUrl: queueUrl,
      Entries: required(
        listOf(structure({ Id: required(string), MessageBody: optional(string), ...sendMembers })),
        "SendMessageBatchRequestEntry",
      ),
    }),
    output: structure({
      Successful: required(
        listOf(
          structure({
            Id: required(string),
            MessageId: required(string),
            MD5OfMessageBody: required(string),
            ...sentMembers,
          }),
        ),
        "SendMessageBatchResultEntry",
      ),
      Failed: failed,
    }),
  },
  ReceiveMessage: {
    input: structure({
      QueueUrl: queueUrl,
      // The older name of the next one. It still works.
      AttributeNames: optional(listOf(string), "AttributeName"),
      MessageSystemAttributeNames: optional(listOf(string), "MessageSystemAttributeName"),
      MessageAttributeNames: optional(listOf(string), "MessageAttributeName"),
      MaxNumberOfMessages: optional(integer),
      VisibilityTimeout: optional(integer),
      WaitTimeSeconds: optional(integer),
      ReceiveRequestAttemptId: optional(string),
    }),
    output: structure({ Messages: optional(listOf(message), "Message") }),
  },
  DeleteMessage: {
    input: structure({ QueueUrl: queueUrl, ReceiptHandle: required(string) }),
    output: null,
  },
  DeleteMessageBatch: {
    input: structure({
      QueueUrl: queueUrl,
      Entries: required(
        listOf(structure({ Id: required(string), ReceiptHandle: optional(string) })),
        "DeleteMessageBatchRequestEntry",
      ),
    }),
    output: structure({
      Successful: required(listOf(structure({ Id: required(string) })), "DeleteMessageBatchResultEntry"),
      Failed: failed,
    }),
  },
  ChangeMessageVisibility: {
    input: structure({
      QueueUrl: queueUrl,
      ReceiptHandle: required(string),
      VisibilityTimeout: required(integer),
    }),
    output: null,
  },
  ChangeMessageVisibilityBatch: {
    input: structure({
      QueueUrl: queueUrl,
      Entries: required(
        listOf(
          structure({
            Id: required(string),
            ReceiptHandle: optional(string),
            VisibilityTimeout: optional(integer),
          }),
        ),
        "ChangeMessageVisibilityBatchRequestEntry",
      ),
    }),
    output: structure({
      Successful: required(
        listOf(structure({ Id: required(string) })),
        "ChangeMessageVisibilityBatchResultEntry",
      ),
      Failed: failed,
    }),
  },
} as const satisfies Record<string, ActionShape>;

const DEAD_LETTER_ACTIONS = {
  ListDeadLetterSourceQueues: {
    input: structure({
      QueueUrl: queueUrl,
      NextToken: optional(string),
      MaxResults: optional(integer),
    }),
    // The one output that the model writes with a small letter.
    output: structure({ queueUrls: required(queueUrls, "QueueUrl"), NextToken: optional(string) }),
  },
  StartMessageMoveTask: {
    input: structure({
      SourceArn: required(string),
      DestinationArn: optional(string),
      MaxNumberOfMessagesPerSecond: optional(integer),
    }),
    output: structure({ TaskHandle: required(string) }),
  },
  ListMessageMoveTasks: {
    input: structure({ SourceArn: required(string), MaxResults: optional(integer) }),
    output: structure({ Results: optional(listOf(moveTask), "ListMessageMoveTasksResultEntry") }),
  },
  CancelMessageMoveTask: {
    input: structure({ TaskHandle: required(string) }),
    output: structure({ ApproximateNumberOfMessagesMoved: required(long) }),
  },
} as const satisfies Record<string, ActionShape>;

export const ACTIONS = { ...QUEUE_ACTIONS, ...MESSAGE_ACTIONS, ...DEAD_LETTER_ACTIONS } as const;

export type ActionName = keyof typeof ACTIONS;

type Inputs = { readonly [A in ActionName]: ValueOf<(typeof ACTIONS)[A]["input"]> };
type Outputs = {
  readonly [A in ActionName]: (typeof ACTIONS)[A]["output"] extends null
    ? Readonly<Record<string, never>>
    : ValueOf<(typeof ACTIONS)[A]["output"]>;
};

export type InputOf<A extends ActionName> = Inputs[A];
export type OutputOf<A extends ActionName> = Outputs[A];

/** A request that is understood: an action with what it takes. */
export type Call = { [A in ActionName]: { readonly action: A; readonly input: InputOf<A> } }[ActionName];

export function isActionName(name: string): name is ActionName {
  return Object.hasOwn(ACTIONS, name);
}

export function shapeOf(action: ActionName): ActionShape {
  return ACTIONS[action];
}
