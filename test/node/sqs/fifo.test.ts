/** FIFO queues: order, groups, deduplication, and the ids of receive attempts. */
import type { Message, ReceiveMessageRequest, SendMessageRequest } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bodiesOf, invalidValue, missing, refusalOf, SqsBroker } from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
beforeAll(() => broker.start());
afterAll(() => broker.stop());

function fifo(attributes: Record<string, string> = {}): Promise<string> {
  return broker.queue({ FifoQueue: "true", ContentBasedDeduplication: "true", ...attributes });
}

/** Bodies are their group's name and a number. */
async function sendAll(QueueUrl: string, ...bodies: string[]): Promise<void> {
  for (const MessageBody of bodies) {
    await broker.sqs.sendMessage({ QueueUrl, MessageBody, MessageGroupId: MessageBody[0] });
  }
}

function send(QueueUrl: string, wish: Partial<SendMessageRequest>) {
  return broker.sqs.sendMessage({ QueueUrl, MessageBody: "a", MessageGroupId: "g", ...wish });
}

async function bodies(queue: string, wish: Partial<ReceiveMessageRequest> = {}) {
  return bodiesOf(await broker.receive(queue, wish));
}

function remove(QueueUrl: string, { ReceiptHandle }: Message) {
  return broker.sqs.deleteMessage({ QueueUrl, ReceiptHandle });
}

function change(QueueUrl: string, { ReceiptHandle }: Message, VisibilityTimeout: number) {
  return broker.sqs.changeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout });
}

describe("order", () => {
  it("is that of sending, within a group and over all of the queue", async () => {
    const queue = await fifo();
    const sent = ["a1", "b1", "a2", "c1", "b2", "a3"];
    await sendAll(queue, ...sent);
    expect(await bodies(queue)).toEqual(sent);
  });

  it("shows in sequence numbers of twenty digits", async () => {
    const queue = await fifo();
    const told = [];
    for (const MessageBody of ["a", "b", "c"]) {
      told.push((await send(queue, { MessageBody })).SequenceNumber!);
    }
    expect(told).toEqual(told.toSorted());
    expect(new Set(told).size).toBe(3);
    expect(told.every((number) => /^\d{20}$/.test(number))).toBe(true);
  });

  it("is kept by messages that come back when their time is over", async () => {
    const queue = await fifo({ VisibilityTimeout: "0" });
    await sendAll(queue, "a1", "a2", "a3");
    for (let i = 0; i < 3; i++) expect(await bodies(queue)).toEqual(["a1", "a2", "a3"]);
  });
});

describe("a group of which a message is out", () => {
  it("gives nothing more, and other groups do", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1", "a2", "b1", "b2");
    expect(await bodies(queue, { MaxNumberOfMessages: 1 })).toEqual(["a1"]);
    expect(await bodies(queue)).toEqual(["b1", "b2"]);
    await sendAll(queue, "a3");
    expect(await bodies(queue)).toEqual([]);
  });

  it("counts only what is out as not visible", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1", "a2", "a3");
    await broker.receive(queue, { MaxNumberOfMessages: 1 });
    expect(
      await broker.attributes(queue, "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"),
    ).toEqual({ ApproximateNumberOfMessages: "2", ApproximateNumberOfMessagesNotVisible: "1" });
  });

  it("is free when all that are out are deleted, and not before", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1", "a2", "a3", "a4");
    const [first, second] = await broker.receive(queue, { MaxNumberOfMessages: 2 });
    await remove(queue, second!);
    expect(await bodies(queue)).toEqual([]);
    await remove(queue, first!);
    expect(await bodies(queue)).toEqual(["a3", "a4"]);
  });

  it("is free when their time is over", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1", "a2");
    await broker.receive(queue, { MaxNumberOfMessages: 1, VisibilityTimeout: 1 });
    expect(await bodies(queue)).toEqual([]);
    for (const body of ["a1", "a2"]) {
      const message = await broker.next(queue);
      expect(message.Body).toBe(body);
      await remove(queue, message);
    }
  });

  it("gives again the first that is made visible, while later ones are out", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1", "a2", "a3");
    const [first] = await broker.receive(queue, { MaxNumberOfMessages: 2 });
    await change(queue, first!, 0);
    expect(await bodies(queue)).toEqual(["a1"]);
  });

  it("gives what comes back, and what stands behind it, in one receive", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1", "b1", "a2", "a3", "b2");
    const first = { MaxNumberOfMessages: 3, VisibilityTimeout: 0 };
    expect(await bodies(queue, first)).toEqual(["a1", "b1", "a2"]);
    const all = await bodies(queue);
    expect(all.filter((body) => body.startsWith("a"))).toEqual(["a1", "a2", "a3"]);
    expect(all.filter((body) => body.startsWith("b"))).toEqual(["b1", "b2"]);
  });

  it("gives none behind one whose time was extended", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1", "a2", "a3");
    const [, second] = await broker.receive(queue, { VisibilityTimeout: 1 });
    await change(queue, second!, 600);
    expect(await bodies(queue, { WaitTimeSeconds: 20 })).toEqual(["a1"]);
    expect(await bodies(queue)).toEqual([]);
  });

  it("is used again after it was empty", async () => {
    const queue = await fifo();
    for (const body of ["a1", "a2"]) {
      await sendAll(queue, body);
      const [message] = await broker.receive(queue);
      expect(message!.Body).toBe(body);
      await remove(queue, message!);
    }
  });
});

describe("a duplicate", () => {
  it("by its id is answered as the first was, and is not there", async () => {
    const queue = await fifo();
    const first = await send(queue, { MessageBody: "first", MessageDeduplicationId: "d" });
    const second = await send(queue, { MessageBody: "second", MessageDeduplicationId: "d" });
    const { MessageId, SequenceNumber } = first;
    expect(second).toMatchObject({ MessageId, SequenceNumber });
    // It is that of what was sent now.
    expect(second.MD5OfMessageBody).not.toBe(first.MD5OfMessageBody);
    expect(await bodies(queue)).toEqual(["first"]);
  });

  it("by its content has the SHA-256 of its body for an id, whatever its attributes are", async () => {
    const queue = await fifo();
    const attribute = (StringValue: string) => ({
      MessageAttributes: { k: { DataType: "String", StringValue } },
    });
    const { MessageId } = await send(queue, attribute("1"));
    expect((await send(queue, attribute("2"))).MessageId).toBe(MessageId);
    const [message] = await broker.receive(queue, {
      MessageSystemAttributeNames: ["MessageDeduplicationId"],
    });
    expect(message!.Attributes).toEqual({
      MessageDeduplicationId: "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    });
  });

  it("is one still when the first was received and deleted", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1");
    await remove(queue, await broker.next(queue));
    await sendAll(queue, "a1");
    expect(await bodies(queue)).toEqual([]);
  });

  it("is none with an id of its own, though the content is the same", async () => {
    const queue = await fifo();
    for (const MessageDeduplicationId of ["1", "2"]) await send(queue, { MessageDeduplicationId });
    expect(await bodies(queue)).toEqual(["a", "a"]);
  });

  it("is one across groups, unless the scope is the group", async () => {
    const across = await fifo();
    const within = await fifo({ DeduplicationScope: "messageGroup" });
    for (const queue of [across, within]) {
      for (const MessageGroupId of ["g", "h", "g"]) await send(queue, { MessageGroupId });
    }
    expect(await bodies(across)).toEqual(["a"]);
    expect(await bodies(within)).toEqual(["a", "a"]);
  });
});

describe("a change of DeduplicationScope", () => {
  it("holds for new messages, and one from before is known as it was", async () => {
    const queue = await fifo();
    await send(queue, { MessageBody: "old", MessageGroupId: "g" });
    const Attributes = { DeduplicationScope: "messageGroup" };
    await broker.sqs.setQueueAttributes({ QueueUrl: queue, Attributes });
    for (const MessageGroupId of ["g", "h"])
      for (const MessageBody of ["old", "new", "new"]) await send(queue, { MessageBody, MessageGroupId });
    expect((await bodies(queue)).toSorted()).toEqual(["new", "new", "old"]);
  });
});

describe("a send to a FIFO queue", () => {
  it("must name a group", async () => {
    const queue = await fifo();
    const call = send(queue, { MessageGroupId: undefined });
    expect(await refusalOf(call)).toEqual(missing("MessageGroupId"));
  });

  it("must have an id of duplicates where the content is none", async () => {
    const queue = await fifo({ ContentBasedDeduplication: "false" });
    expect(await refusalOf(send(queue, {}))).toEqual(
      invalidValue(
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
      ),
    );
    await send(queue, { MessageDeduplicationId: "d" });
    await broker.sqs.setQueueAttributes({
      QueueUrl: queue,
      Attributes: { ContentBasedDeduplication: "true" },
    });
    await send(queue, { MessageBody: "b" });
  });

  it("has ids of 1 to 128 letters, digits and signs", async () => {
    const queue = await fifo();
    const good = "!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~".padEnd(128, "x");
    await send(queue, { MessageGroupId: good, MessageDeduplicationId: good });
    for (const name of ["MessageGroupId", "MessageDeduplicationId"]) {
      for (const id of ["", "a b", "ü", "x".repeat(129)]) {
        expect(await refusalOf(send(queue, { [name]: id })), `${name}=${id}`).toEqual(
          invalidValue(
            `Value ${id} for parameter ${name} is invalid. Reason: ${name} can only include alphanumeric and punctuation characters. 1 to 128 in length.`,
          ),
        );
      }
    }
  });

  it("has no delay of its own, and that of its queue", async () => {
    const queue = await fifo({ DelaySeconds: "1" });
    expect(await refusalOf(send(queue, { DelaySeconds: 2 }))).toEqual(
      invalidValue(
        "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.",
      ),
    );
    await send(queue, { DelaySeconds: 0 });
    expect(await bodies(queue)).toEqual([]);
    expect(await bodies(queue, { WaitTimeSeconds: 20 })).toEqual(["a"]);
  });
});

describe("a receive attempt", () => {
  const attempt = (ReceiveRequestAttemptId: string) => ({ ReceiveRequestAttemptId });

  it("that is repeated by its id gets the same messages and handles", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1", "a2", "b1");
    const first = await broker.receive(queue, { ...attempt("one"), MaxNumberOfMessages: 2 });
    const again = await broker.receive(queue, { ...attempt("one"), MaxNumberOfMessages: 2 });
    expect(bodiesOf(first)).toEqual(["a1", "a2"]);
    const handles = (messages: readonly Message[]) => messages.map(({ ReceiptHandle }) => ReceiptHandle);
    expect(bodiesOf(again)).toEqual(bodiesOf(first));
    expect(handles(again)).toEqual(handles(first));
    expect(await bodies(queue, attempt("two"))).toEqual(["b1"]);
  });

  it("is a new one when what it got was changed or deleted", async () => {
    const queue = await fifo();
    await sendAll(queue, "a1", "b1");
    const [first] = await broker.receive(queue, { ...attempt("one"), MaxNumberOfMessages: 1 });
    await remove(queue, first!);
    expect(await bodies(queue, { ...attempt("one"), MaxNumberOfMessages: 1 })).toEqual(["b1"]);
  });

  it("has an id of 1 to 128 letters, digits and signs", async () => {
    const queue = await fifo();
    for (const id of ["", "a b", "x".repeat(129)]) {
      expect(await refusalOf(broker.receive(queue, attempt(id)))).toMatchObject({
        code: "InvalidParameterValue",
        status: 400,
      });
    }
  });
});
