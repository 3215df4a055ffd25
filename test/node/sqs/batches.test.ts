/** Batches: what fails as a whole, what fails by entry, and what their size is. */
import type {
  ChangeMessageVisibilityBatchRequestEntry,
  DeleteMessageBatchRequestEntry,
  SendMessageBatchRequestEntry,
} from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  bodiesOf,
  invalidValue,
  modelled,
  NO_QUEUE,
  refusalOf,
  SqsBroker,
} from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
beforeAll(() => broker.start());
afterAll(() => broker.stop());

const MIB = 1_048_576;

function send(QueueUrl: string, Entries: SendMessageBatchRequestEntry[]) {
  return broker.sqs.sendMessageBatch({ QueueUrl, Entries });
}

function remove(QueueUrl: string, Entries: DeleteMessageBatchRequestEntry[]) {
  return broker.sqs.deleteMessageBatch({ QueueUrl, Entries });
}

function change(QueueUrl: string, Entries: ChangeMessageVisibilityBatchRequestEntry[]) {
  return broker.sqs.changeMessageVisibilityBatch({ QueueUrl, Entries });
}

function entry(Id: string | undefined, MessageBody: string | undefined = "a"): SendMessageBatchRequestEntry {
  return { Id, MessageBody };
}

function failure(name: string, message: string) {
  return modelled(name, message, 400, `AWS.SimpleQueueService.${name}`);
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);

/** The three actions with entries of these ids. */
function batches(queue: string, ids: readonly (string | undefined)[]): (() => Promise<unknown>)[] {
  const handled = ids.map((Id) => ({ Id, ReceiptHandle: "handle" }));
  return [
    () =>
      send(
        queue,
        ids.map((Id) => entry(Id)),
      ),
    () => remove(queue, handled),
    () =>
      change(
        queue,
        handled.map((one) => ({ ...one, VisibilityTimeout: 1 })),
      ),
  ];
}

describe("a batch is refused as a whole", () => {
  it("when it has no entries", async () => {
    const queue = await broker.queue();
    const names = [
      "SendMessageBatchRequestEntry",
      "DeleteMessageBatchRequestEntry",
      "ChangeMessageVisibilityBatchRequestEntry",
    ];
    for (const [i, call] of batches(queue, []).entries()) {
      expect(await refusalOf(call())).toEqual(
        failure("EmptyBatchRequest", `There should be at least one ${names[i]} in the request.`),
      );
    }
  });

  it("when it has eleven", async () => {
    const queue = await broker.queue();
    for (const call of batches(queue, numbered(11))) {
      expect(await refusalOf(call())).toEqual(
        failure(
          "TooManyEntriesInBatchRequest",
          "Maximum number of entries per request are 10. You have sent 11.",
        ),
      );
    }
  });

  it("when two have the same id", async () => {
    const queue = await broker.queue();
    for (const call of batches(queue, ["idA", "idB", "idA"])) {
      expect(await refusalOf(call())).toEqual(failure("BatchEntryIdsNotDistinct", "Id idA repeated."));
    }
    expect(await broker.receive(queue)).toEqual([]);
  });

  it("when an id is not of letters, digits, hyphens and underscores, or over 80 of them", async () => {
    const queue = await broker.queue();
    for (const id of ["", "invalid:id", "a b", "x".repeat(81)]) {
      for (const call of batches(queue, ["good", id])) {
        expect(await refusalOf(call()), id).toEqual(
          failure(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
          ),
        );
      }
    }
    const longest = "_-9Z".padEnd(80, "x");
    expect((await send(queue, [entry(longest)])).Successful).toMatchObject([{ Id: longest }]);
  });

  it("when an id is missing", async () => {
    const queue = await broker.queue();
    for (const call of batches(queue, ["good", undefined])) {
      expect(await refusalOf(call())).toMatchObject({ code: "MissingParameter", status: 400 });
    }
  });

  it("when there is no such queue", async () => {
    const queue = await broker.queue();
    await broker.send(queue, "a");
    const { ReceiptHandle } = await broker.next(queue);
    await broker.sqs.deleteQueue({ QueueUrl: queue });
    expect(await refusalOf(send(queue, [entry("a")]))).toEqual(NO_QUEUE);
    expect(await refusalOf(remove(queue, [{ Id: "a", ReceiptHandle }]))).toEqual(NO_QUEUE);
    const hidden = { Id: "a", ReceiptHandle, VisibilityTimeout: 1 };
    expect(await refusalOf(change(queue, [hidden]))).toEqual(NO_QUEUE);
  });

  it("when an entry for a FIFO queue lacks its group or its id of duplicates", async () => {
    const queue = await broker.queue({ FifoQueue: "true" });
    const good = { MessageGroupId: "g", MessageDeduplicationId: "d" };
    const groupless = send(queue, [
      { ...entry("a"), ...good },
      { ...entry("b"), ...good, MessageGroupId: undefined },
    ]);
    expect(await refusalOf(groupless)).toEqual(
      invalidValue("The request must contain the parameter MessageGroupId."),
    );
    const unnamed = send(queue, [
      { ...entry("a"), ...good },
      { ...entry("b"), MessageGroupId: "g" },
    ]);
    expect(await refusalOf(unnamed)).toEqual(
      invalidValue(
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
      ),
    );
    expect(await broker.receive(queue)).toEqual([]);
  });
});

describe("a batch's size", () => {
  const text = (Id: string, bytes: number): SendMessageBatchRequestEntry => entry(Id, "x".repeat(bytes));

  it("may be 1 MiB, whatever its queue allows a message", async () => {
    const queue = await broker.queue();
    const sent = await send(queue, [text("a", MIB / 2), text("b", MIB / 2)]);
    expect(sent.Successful).toHaveLength(2);
    for (let i = 0; i < 2; i++) expect((await broker.next(queue)).Body).toHaveLength(MIB / 2);
    const narrow = await broker.queue({ MaximumMessageSize: "1024" });
    const ten = numbered(10).map((id) => text(id, 1_024));
    expect((await send(narrow, ten)).Successful).toHaveLength(10);
  });

  it("is refused with a byte more", async () => {
    const queue = await broker.queue();
    const refusal = await refusalOf(send(queue, [text("a", MIB / 2), text("b", MIB / 2 + 1)]));
    expect(refusal).toEqual(
      failure(
        "BatchRequestTooLong",
        `Batch requests cannot be longer than ${MIB} bytes. You have sent ${MIB + 1} bytes.`,
      ),
    );
    expect(await broker.receive(queue)).toEqual([]);
  });

  it("is refused as a whole for one entry that alone is over it, and counts every entry", async () => {
    const queue = await broker.queue();
    const tooLong = (bytes: number) =>
      failure(
        "BatchRequestTooLong",
        `Batch requests cannot be longer than ${MIB} bytes. You have sent ${bytes} bytes.`,
      );
    expect(await refusalOf(send(queue, [entry("good"), text("long", MIB + 1)]))).toEqual(tooLong(MIB + 2));
    // Each of the two would be refused by its queue, or for its characters.
    const narrow = await broker.queue({ MaximumMessageSize: "1024" });
    const bad = { ...entry("bad", `\b${"x".repeat(MIB / 2)}`) };
    expect(await refusalOf(send(narrow, [text("long", MIB / 2), bad]))).toEqual(tooLong(MIB + 1));
    for (const url of [queue, narrow]) expect(await broker.receive(url)).toEqual([]);
  });
});

describe("SendMessageBatch", () => {
  it("sends in the order of its entries, and answers for each by its id", async () => {
    const queue = await broker.queue();
    const entries = numbered(10).map((id) => entry(id, `body ${id}`));
    entries[3]!.MessageAttributes = { k: { DataType: "String", StringValue: "x" } };
    const { Successful, ...rest } = await send(queue, entries);
    expect(rest).not.toHaveProperty("Failed");
    expect(Successful!.map(({ Id }) => Id)).toEqual(numbered(10));
    expect(Successful![3]).toMatchObject({ MD5OfMessageAttributes: "a45daa70926828a2f0a1db3418e6feb4" });
    const received = await broker.receive(queue);
    expect(bodiesOf(received)).toEqual(entries.map(({ MessageBody }) => MessageBody));
    expect(received.map(({ MessageId }) => MessageId)).toEqual(Successful!.map(({ MessageId }) => MessageId));
  });

  it("sends what is good and says of each other entry why not", async () => {
    const queue = await broker.queue({ MaximumMessageSize: "1024" });
    const { Successful, Failed } = await send(queue, [
      entry("good"),
      entry("characters", "a\b"),
      entry("empty", ""),
      entry("large", "x".repeat(1_025)),
      { ...entry("delay"), DelaySeconds: 901 },
      { ...entry("duplicate"), MessageDeduplicationId: "d" },
      { ...entry("attribute"), MessageAttributes: { a: { DataType: "Number", StringValue: "x" } } },
      entry("good-too", "b"),
    ]);
    expect(Successful!.map(({ Id }) => Id)).toEqual(["good", "good-too"]);
    const failed = (Id: string, Code: string, Message: unknown = expect.any(String)) => ({
      Id,
      SenderFault: true,
      Code,
      Message,
    });
    expect(Failed).toEqual([
      failed("characters", "InvalidMessageContents"),
      failed("empty", "EmptyValue"),
      failed(
        "large",
        "InvalidParameterValue",
        "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.",
      ),
      failed("delay", "InvalidParameterValue"),
      failed("duplicate", "InvalidParameterValue"),
      failed("attribute", "InvalidParameterValue"),
    ]);
    expect(bodiesOf(await broker.receive(queue))).toEqual(["a", "b"]);
  });

  it("says nothing of successes when there are none", async () => {
    const queue = await broker.queue();
    const answer = await send(queue, [entry("a", ""), entry("b", "\0")]);
    expect(answer.Failed).toHaveLength(2);
    expect(answer).not.toHaveProperty("Successful");
  });

  it("takes groups and delays by entry", async () => {
    const queue = await broker.queue();
    await send(queue, [
      { ...entry("a", "later"), DelaySeconds: 900 },
      { ...entry("b", "now"), MessageGroupId: "g" },
    ]);
    const [message] = await broker.receive(queue, { MessageSystemAttributeNames: ["MessageGroupId"] });
    expect(message).toMatchObject({ Body: "now", Attributes: { MessageGroupId: "g" } });
  });

  it("drops duplicates on a FIFO queue, also within itself", async () => {
    const queue = await broker.queue({ FifoQueue: "true", ContentBasedDeduplication: "true" });
    const entries = ["same", "same", "other"].map((body, i) => ({
      ...entry(`${i}`, body),
      MessageGroupId: "g",
    }));
    const { Successful } = await send(queue, entries);
    expect(Successful![1]!.MessageId).toBe(Successful![0]!.MessageId);
    expect(Successful![1]!.SequenceNumber).toBe(Successful![0]!.SequenceNumber);
    expect(bodiesOf(await broker.receive(queue))).toEqual(["same", "other"]);
  });
});

describe("DeleteMessageBatch and ChangeMessageVisibilityBatch", () => {
  async function received(): Promise<{ queue: string; handles: (string | undefined)[] }> {
    const queue = await broker.queue();
    await broker.send(queue, "a", "b", "c");
    const messages = await broker.receive(queue);
    return { queue, handles: messages.map(({ ReceiptHandle }) => ReceiptHandle) };
  }

  it("do what they can, and say of each other entry why not", async () => {
    const { queue, handles } = await received();
    const [a, b, c] = handles;
    const { Successful, Failed } = await remove(queue, [
      { Id: "a", ReceiptHandle: a },
      { Id: "bad", ReceiptHandle: "garbage" },
      { Id: "none", ReceiptHandle: undefined },
      { Id: "c", ReceiptHandle: c },
    ]);
    expect(Successful).toEqual([{ Id: "a" }, { Id: "c" }]);
    const shared = [
      {
        Id: "bad",
        SenderFault: true,
        Code: "ReceiptHandleIsInvalid",
        Message: 'The input receipt handle "garbage" is not a valid receipt handle.',
      },
      {
        Id: "none",
        SenderFault: true,
        Code: "MissingParameter",
        Message: "The request must contain the parameter ReceiptHandle.",
      },
    ];
    expect(Failed).toEqual(shared);
    const VisibilityTimeout = 0;
    const changed = await change(queue, [
      { Id: "b", ReceiptHandle: b, VisibilityTimeout },
      { Id: "bad", ReceiptHandle: "garbage", VisibilityTimeout },
      { Id: "none", ReceiptHandle: undefined, VisibilityTimeout },
      { Id: "gone", ReceiptHandle: a, VisibilityTimeout },
      { Id: "long", ReceiptHandle: b, VisibilityTimeout: 43_201 },
      { Id: "unsaid", ReceiptHandle: b, VisibilityTimeout: undefined },
    ]);
    expect(changed.Successful).toEqual([{ Id: "b" }]);
    expect(changed.Failed).toMatchObject([
      ...shared,
      { Id: "gone", SenderFault: true, Code: "InvalidParameterValue" },
      { Id: "long", SenderFault: true, Code: "InvalidParameterValue" },
      { Id: "unsaid", SenderFault: true, Code: "MissingParameter" },
    ]);
    expect(bodiesOf(await broker.receive(queue))).toEqual(["b"]);
  });

  it("change a visibility by an older handle of a message that was received again", async () => {
    const queue = await broker.queue({ VisibilityTimeout: "0" });
    await broker.send(queue, "a");
    const { ReceiptHandle } = await broker.next(queue);
    await broker.next(queue, { VisibilityTimeout: 600 });
    const { Successful, Failed } = await change(queue, [
      { Id: "older", ReceiptHandle, VisibilityTimeout: 0 },
    ]);
    expect({ Successful, Failed }).toEqual({ Successful: [{ Id: "older" }], Failed: undefined });
    expect(bodiesOf(await broker.receive(queue))).toEqual(["a"]);
  });

  it("tell of an expired handle on a FIFO queue by entry", async () => {
    const queue = await broker.queue({
      FifoQueue: "true",
      ContentBasedDeduplication: "true",
      VisibilityTimeout: "0",
    });
    await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "a", MessageGroupId: "g" });
    const { ReceiptHandle } = await broker.next(queue);
    expect((await remove(queue, [{ Id: "late", ReceiptHandle }])).Failed).toEqual([
      {
        Id: "late",
        SenderFault: true,
        Code: "InvalidParameterValue",
        Message: `Value ${ReceiptHandle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.`,
      },
    ]);
  });

  it("delete again without a word", async () => {
    const { queue, handles } = await received();
    const entries = handles.map((ReceiptHandle, i) => ({ Id: `${i}`, ReceiptHandle }));
    for (let i = 0; i < 2; i++) expect((await remove(queue, entries)).Successful).toHaveLength(3);
    expect(await broker.attributes(queue, "ApproximateNumberOfMessagesNotVisible")).toEqual({
      ApproximateNumberOfMessagesNotVisible: "0",
    });
  });
});
