/** Receiving from SQS: how many, how long, which attributes. */
import type { MessageSystemAttributeName, ReceiveMessageRequest } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  arnOf,
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

type Wish = Omit<ReceiveMessageRequest, "QueueUrl">;

const MILLISECONDS = expect.stringMatching(/^\d{13}$/);
const ALL: Wish = { MessageSystemAttributeNames: ["All"] };

describe("ReceiveMessage", () => {
  it("gives a message with its MD5 and a handle, and only what was asked for", async () => {
    const queue = await broker.queue();
    const { MessageId } = await broker.sqs.sendMessage({
      QueueUrl: queue,
      MessageBody: "message",
      MessageAttributes: { k: { DataType: "String", StringValue: "x" } },
    });
    const { Messages } = await broker.sqs.receiveMessage({ QueueUrl: queue });
    expect(Messages).toEqual([
      {
        MessageId,
        ReceiptHandle: expect.any(String),
        MD5OfBody: "78e731027d8fd50ed642340b7c9a63b3",
        Body: "message",
      },
    ]);
  });

  it("says nothing where there is nothing", async () => {
    const queue = await broker.queue();
    expect(await broker.sqs.receiveMessage({ QueueUrl: queue })).not.toHaveProperty("Messages");
  });

  it("gives one unless told, and ten at most", async () => {
    const queue = await broker.queue();
    const bodies = Array.from({ length: 12 }, (_, i) => `${i}`);
    await broker.send(queue, ...bodies);
    const one = await broker.sqs.receiveMessage({ QueueUrl: queue });
    expect(one.Messages).toHaveLength(1);
    expect(await broker.receive(queue, { MaxNumberOfMessages: 10 })).toHaveLength(10);
    expect(await broker.receive(queue, { MaxNumberOfMessages: 10 })).toHaveLength(1);
  });

  it("gives fewer where they are over a megabyte together", async () => {
    const queue = await broker.queue();
    await broker.send(queue, "x".repeat(600_000), "y".repeat(600_000));
    for (const letter of ["x", "y"]) {
      const messages = await broker.receive(queue, { MaxNumberOfMessages: 10 });
      expect(messages.map(({ Body }) => [Body?.[0], Body?.length])).toEqual([[letter, 600_000]]);
    }
  });

  it("refuses numbers out of range", async () => {
    const queue = await broker.queue();
    const refusals: readonly [Wish, string][] = [
      [{ MaxNumberOfMessages: 0 }, "Must be between 1 and 10, if provided."],
      [{ MaxNumberOfMessages: 11 }, "Must be between 1 and 10, if provided."],
      [{ WaitTimeSeconds: -1 }, "Must be >= 0 and <= 20, if provided."],
      [{ WaitTimeSeconds: 21 }, "Must be >= 0 and <= 20, if provided."],
      [{ VisibilityTimeout: -1 }, "Must be >= 0 and <= 43200, if provided."],
      [{ VisibilityTimeout: 43_201 }, "Must be >= 0 and <= 43200, if provided."],
    ];
    for (const [wish, reason] of refusals) {
      const [[name, value]] = Object.entries(wish) as [[string, number]];
      expect(await refusalOf(broker.receive(queue, wish))).toEqual(
        invalidValue(`Value ${value} for parameter ${name} is invalid. Reason: ${reason}`),
      );
    }
  });

  it("does not look at an attempt's id on a standard queue", async () => {
    const queue = await broker.queue();
    await broker.send(queue, "a", "b");
    for (const Body of ["a", "b"]) {
      const wish = { MaxNumberOfMessages: 1, ReceiveRequestAttemptId: "same" };
      expect(await broker.receive(queue, wish)).toMatchObject([{ Body }]);
    }
  });
});

describe("a long poll", () => {
  it("ends with the first message, however many were asked for", async () => {
    const queue = await broker.queue();
    const waiting = broker.receive(queue, { MaxNumberOfMessages: 10, WaitTimeSeconds: 20 });
    await broker.send(queue, "only one");
    expect(bodiesOf(await waiting)).toEqual(["only one"]);
  });

  it("ends with nothing after its time", async () => {
    const queue = await broker.queue({ ReceiveMessageWaitTimeSeconds: "20" });
    expect(await broker.receive(queue, { WaitTimeSeconds: 1 })).toEqual([]);
  });

  it("gets a message whose delay or whose visibility timeout ends meanwhile", async () => {
    const queue = await broker.queue({ VisibilityTimeout: "1" });
    await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "delayed", DelaySeconds: 1 });
    for (let i = 0; i < 2; i++) {
      expect(bodiesOf(await broker.receive(queue, { WaitTimeSeconds: 20 }))).toEqual(["delayed"]);
    }
  });

  it("of one who has gone ends before its time, and takes no message", async () => {
    const queue = await broker.queue();
    const client = new AbortController();
    const gone = broker.sqs.receiveMessage(
      { QueueUrl: queue, WaitTimeSeconds: 20 },
      { abortSignal: client.signal },
    );
    await expect.poll(() => broker.waiting(queue)).toBe(1);
    const stays = broker.receive(queue, { ...ALL, WaitTimeSeconds: 15 });
    await expect.poll(() => broker.waiting(queue)).toBe(2);
    client.abort();
    await expect(gone).rejects.toMatchObject({ name: "AbortError" });
    await expect.poll(() => broker.waiting(queue), { timeout: 60_000 }).toBe(1);
    await broker.send(queue, "for who stayed");
    expect(await stays).toMatchObject([
      { Body: "for who stayed", Attributes: { ApproximateReceiveCount: "1" } },
    ]);
  });

  it("ends when its queue is deleted", async () => {
    const queue = await broker.queue();
    const waiting = broker.receive(queue, { WaitTimeSeconds: 20 });
    await expect.poll(() => broker.waiting(queue)).toBe(1);
    await broker.sqs.deleteQueue({ QueueUrl: queue });
    expect(await waiting.catch((error: Error) => error.name)).toSatisfy(
      (told) => told === "QueueDoesNotExist" || (Array.isArray(told) && told.length === 0),
    );
    expect(await refusalOf(broker.receive(queue))).toEqual(NO_QUEUE);
  });
});

describe("message attributes", () => {
  const attributes = ["Hello", "Help.Me", "General"] as const;
  let queue: string;
  beforeAll(async () => {
    queue = await broker.queue({ VisibilityTimeout: "0" });
    const values = Object.fromEntries(
      attributes.map((name) => [name, { DataType: "String", StringValue: name }]),
    );
    await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "a", MessageAttributes: values });
  });

  async function told(...MessageAttributeNames: string[]) {
    const [message] = await broker.receive(queue, { MessageAttributeNames });
    return { names: Object.keys(message!.MessageAttributes ?? {}), md5: message!.MD5OfMessageAttributes };
  }

  it("are given by name, by the beginning of names, or all", async () => {
    for (const all of ["All", ".*", "*"]) {
      expect((await told(all)).names.toSorted()).toEqual(attributes.toSorted());
    }
    expect((await told("Hello", "General")).names.toSorted()).toEqual(["General", "Hello"]);
    expect((await told("Hel.*")).names.toSorted()).toEqual(["Hello", "Help.Me"]);
    expect((await told("Help.*")).names).toEqual(["Help.Me"]);
  });

  it("have an MD5 over what is given", async () => {
    const [all, one] = [await told("All"), await told("Hello")];
    expect(all.md5).toMatch(/^[0-9a-f]{32}$/);
    expect(one.md5).toMatch(/^[0-9a-f]{32}$/);
    expect(one.md5).not.toBe(all.md5);
  });

  it("that there are not, or that no message could have, are no fault", async () => {
    expect(await told("Foobar", "AWS.", "..foo", "hello")).toEqual({ names: [], md5: undefined });
  });
});

describe("system attributes", () => {
  it("of a message in a standard queue", async () => {
    const queue = await broker.queue();
    await broker.send(queue, "a");
    const [message] = await broker.receive(queue, ALL);
    expect(message!.Attributes).toEqual({
      SenderId: expect.any(String),
      SentTimestamp: MILLISECONDS,
      ApproximateReceiveCount: "1",
      ApproximateFirstReceiveTimestamp: MILLISECONDS,
    });
  });

  it("of a message in a FIFO queue", async () => {
    const queue = await broker.queue({ FifoQueue: "true" });
    const { SequenceNumber } = await broker.sqs.sendMessage({
      QueueUrl: queue,
      MessageBody: "a",
      MessageGroupId: "g",
      MessageDeduplicationId: "d",
    });
    expect(SequenceNumber).toMatch(/^\d{20}$/);
    const [message] = await broker.receive(queue, ALL);
    expect(message!.Attributes).toEqual({
      SenderId: expect.any(String),
      SentTimestamp: MILLISECONDS,
      ApproximateReceiveCount: "1",
      ApproximateFirstReceiveTimestamp: MILLISECONDS,
      SequenceNumber,
      MessageGroupId: "g",
      MessageDeduplicationId: "d",
    });
  });

  it("of a dead letter", async () => {
    const { source, dead } = await broker.queueWithDeadLetters({ VisibilityTimeout: "0" });
    await broker.send(source, "a");
    const [first] = await broker.receive(source, ALL);
    const letter = await broker.next(dead, ALL);
    expect(letter.MessageId).toBe(first!.MessageId);
    expect(letter.Attributes).toMatchObject({
      SentTimestamp: first!.Attributes!.SentTimestamp,
      ApproximateReceiveCount: "2",
      DeadLetterQueueSourceArn: arnOf(source),
    });
  });

  it("ApproximateReceiveCount rises with each receive, ApproximateFirstReceiveTimestamp stays", async () => {
    const queue = await broker.queue({ VisibilityTimeout: "0" });
    await broker.send(queue, "a");
    const told = [];
    for (let i = 0; i < 3; i++) told.push((await broker.next(queue, ALL)).Attributes!);
    expect(told.map(({ ApproximateReceiveCount }) => ApproximateReceiveCount)).toEqual(["1", "2", "3"]);
    const firsts = told.map(({ ApproximateFirstReceiveTimestamp }) => ApproximateFirstReceiveTimestamp);
    expect(new Set(firsts).size).toBe(1);
  });

  it("are asked for by the old name, by the new one, or by both", async () => {
    const queue = await broker.queue({ VisibilityTimeout: "0" });
    await broker.send(queue, "a");
    const [old] = await broker.receive(queue, { AttributeNames: ["SenderId" as "All"] });
    expect(Object.keys(old!.Attributes!)).toEqual(["SenderId"]);
    const both = {
      AttributeNames: ["SenderId" as "All"],
      MessageSystemAttributeNames: ["SentTimestamp" as const],
    };
    const [message] = await broker.receive(queue, both);
    expect(Object.keys(message!.Attributes!).toSorted()).toEqual(["SenderId", "SentTimestamp"]);
    const [none] = await broker.receive(queue, { MessageSystemAttributeNames: ["SequenceNumber"] });
    expect(none).not.toHaveProperty("Attributes");
  });

  it("that there are none of are refused", async () => {
    const queue = await broker.queue();
    const wish = { MessageSystemAttributeNames: ["Foobar" as MessageSystemAttributeName] };
    expect(await refusalOf(broker.receive(queue, wish))).toEqual(
      modelled("InvalidAttributeName", "Unknown Attribute Foobar."),
    );
  });
});
