/** Dead-letter queues of SQS: policies, and what they do. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  arnOf,
  bodiesOf,
  invalidValue,
  nameOf,
  refusalOf,
  REGION,
  SqsBroker,
} from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
beforeAll(() => broker.start());
afterAll(() => broker.stop());

function set(QueueUrl: string, Attributes: Record<string, string>) {
  return broker.sqs.setQueueAttributes({ QueueUrl, Attributes });
}

function policy(deadLetterTargetArn: string, maxReceiveCount: unknown = 1): string {
  return JSON.stringify({ deadLetterTargetArn, maxReceiveCount });
}

const counts = (queue: string) =>
  broker.attributes(queue, "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible");
const EMPTY = { ApproximateNumberOfMessages: "0", ApproximateNumberOfMessagesNotVisible: "0" };

describe("a message", () => {
  it("that was received as often as it may be is a dead letter when its time is over", async () => {
    const { source, dead } = await broker.queueWithDeadLetters({ VisibilityTimeout: "1" }, 2);
    await broker.send(source, "a");
    for (let i = 0; i < 2; i++) expect((await broker.next(source)).Body).toBe("a");
    expect((await broker.next(dead)).Body).toBe("a");
    expect(await counts(source)).toEqual(EMPTY);
  });

  it("is one, too, when its last receiver sets its visibility timeout to 0", async () => {
    const { source, dead } = await broker.queueWithDeadLetters();
    await broker.send(source, "a");
    const { ReceiptHandle } = await broker.next(source);
    await broker.sqs.changeMessageVisibility({ QueueUrl: source, ReceiptHandle, VisibilityTimeout: 0 });
    expect((await broker.next(dead)).Body).toBe("a");
  });

  it("goes along with others when it is received for the last time", async () => {
    const { source } = await broker.queueWithDeadLetters({}, 2);
    await broker.send(source, "a", "b", "c");
    const first = await broker.receive(source);
    for (const { ReceiptHandle } of first) {
      await broker.sqs.changeMessageVisibility({ QueueUrl: source, ReceiptHandle, VisibilityTimeout: 0 });
    }
    expect(bodiesOf(first)).toEqual(["a", "b", "c"]);
    expect(bodiesOf(await broker.receive(source))).toEqual(["a", "b", "c"]);
  });

  it("is not visible while its dead-letter queue is gone, and arrives in the next of that name", async () => {
    const { source, dead } = await broker.queueWithDeadLetters({ VisibilityTimeout: "0" });
    await broker.sqs.deleteQueue({ QueueUrl: dead });
    await broker.send(source, "a");
    await broker.next(source);
    const hidden = { ApproximateNumberOfMessages: "0", ApproximateNumberOfMessagesNotVisible: "1" };
    expect(await broker.receive(source)).toEqual([]);
    expect(await counts(source)).toEqual(hidden);
    await broker.sqs.createQueue({ QueueName: nameOf(dead) });
    expect((await broker.next(dead)).Body).toBe("a");
    await expect.poll(() => counts(source)).toEqual(EMPTY);
  });

  it("whose dead-letter queue is gone goes to the one that its queue names now", async () => {
    const { source, dead } = await broker.queueWithDeadLetters({ VisibilityTimeout: "0" });
    await broker.sqs.deleteQueue({ QueueUrl: dead });
    await broker.send(source, "a");
    await broker.next(source);
    const other = await broker.queue();
    await set(source, { RedrivePolicy: policy(arnOf(other)) });
    expect((await broker.next(other)).Body).toBe("a");
    await expect.poll(() => counts(source)).toEqual(EMPTY);
  });

  it("is none while it is out, and can be deleted", async () => {
    const { source, dead } = await broker.queueWithDeadLetters();
    await broker.send(source, "a");
    const { ReceiptHandle } = await broker.next(source);
    expect(await broker.receive(source)).toEqual([]);
    await broker.sqs.deleteMessage({ QueueUrl: source, ReceiptHandle });
    expect([await counts(source), await counts(dead)]).toEqual([EMPTY, EMPTY]);
  });

  it("keeps as a dead letter its id, its attributes and its trace", async () => {
    const { source, dead } = await broker.queueWithDeadLetters({ VisibilityTimeout: "0" });
    const MessageAttributes = { k: { DataType: "Number.int", StringValue: "1" } };
    const { MessageId } = await broker.sqs.sendMessage({
      QueueUrl: source,
      MessageBody: "a",
      MessageAttributes,
      MessageSystemAttributes: { AWSTraceHeader: { DataType: "String", StringValue: "trace" } },
    });
    await broker.receive(source);
    const letter = await broker.next(dead, {
      MessageAttributeNames: ["All"],
      MessageSystemAttributeNames: ["All"],
    });
    expect(letter).toMatchObject({ MessageId, MessageAttributes, Attributes: { AWSTraceHeader: "trace" } });
  });

  it("of a FIFO queue keeps its ids, and its group goes on", async () => {
    const { source, dead } = await broker.queueWithDeadLetters({
      FifoQueue: "true",
      ContentBasedDeduplication: "true",
      VisibilityTimeout: "1",
    });
    for (const MessageBody of ["a", "b"]) {
      await broker.sqs.sendMessage({ QueueUrl: source, MessageBody, MessageGroupId: "g" });
    }
    expect((await broker.next(source)).Body).toBe("a");
    const letter = await broker.next(dead, { MessageSystemAttributeNames: ["All"] });
    expect(letter).toMatchObject({
      Body: "a",
      Attributes: { MessageGroupId: "g", DeadLetterQueueSourceArn: arnOf(source) },
    });
    expect((await broker.next(source)).Body).toBe("b");
  });

  it("of a queue without a policy never dies", async () => {
    const queue = await broker.queue({ VisibilityTimeout: "0" });
    await broker.send(queue, "a");
    for (let i = 0; i < 20; i++) await broker.receive(queue);
    expect(bodiesOf(await broker.receive(queue))).toEqual(["a"]);
  });
});

describe("RedrivePolicy", () => {
  it("is told in one form, however it was set", async () => {
    const [queue, dead] = [await broker.queue(), await broker.queue()];
    const deadLetterTargetArn = arnOf(dead);
    for (const maxReceiveCount of [7, "7"]) {
      await set(queue, { RedrivePolicy: JSON.stringify({ maxReceiveCount, deadLetterTargetArn }, null, 2) });
      expect(await broker.attributes(queue, "RedrivePolicy")).toEqual({
        RedrivePolicy: `{"deadLetterTargetArn":"${deadLetterTargetArn}","maxReceiveCount":7}`,
      });
    }
  });

  it("is taken away by an empty text, and then nothing dies", async () => {
    const { source } = await broker.queueWithDeadLetters({ VisibilityTimeout: "0" });
    for (let i = 0; i < 2; i++) await set(source, { RedrivePolicy: "" });
    expect(await broker.attributes(source, "RedrivePolicy")).toEqual({});
    await broker.send(source, "a");
    for (let i = 0; i < 5; i++) expect(bodiesOf(await broker.receive(source))).toEqual(["a"]);
  });

  it("counts from 1 to 1000 receives", async () => {
    const [queue, dead] = [await broker.queue(), await broker.queue()];
    for (const count of [1, 1_000]) await set(queue, { RedrivePolicy: policy(arnOf(dead), count) });
    for (const count of [0, 1_001, -1, 1.5, "many"]) {
      const text = policy(arnOf(dead), count);
      expect(await refusalOf(set(queue, { RedrivePolicy: text }))).toEqual(
        invalidValue(
          `Value ${text} for parameter RedrivePolicy is invalid. Reason: Invalid value for maxReceiveCount: ${count}, valid values are from 1 to 1000 both inclusive.`,
        ),
      );
    }
  });

  it("is refused where it is not one", async () => {
    const queue = await broker.queue();
    const dead = arnOf(await broker.queue());
    const fifo = arnOf(await broker.queue({ FifoQueue: "true" }));
    for (const text of ["nonsense", "[]"]) {
      expect(await refusalOf(set(queue, { RedrivePolicy: text }))).toEqual(
        invalidValue(
          "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid JSON map.",
        ),
      );
    }
    const refusals: readonly [object, string][] = [
      [{}, "Redrive policy does not contain mandatory attribute: maxReceiveCount."],
      [{ maxReceiveCount: 1 }, "Redrive policy does not contain mandatory attribute: deadLetterTargetArn."],
      [
        { maxReceiveCount: 1, deadLetterTargetArn: dead, more: 1 },
        "Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn].",
      ],
      [{ maxReceiveCount: 1, deadLetterTargetArn: "dummy" }, "Invalid value for deadLetterTargetArn."],
      [
        { maxReceiveCount: 1, deadLetterTargetArn: fifo },
        "Dead-letter queue must be same type of queue as the source..",
      ],
      [
        { maxReceiveCount: 1, deadLetterTargetArn: `arn:aws:sqs:${REGION}:000000000000:gone` },
        "Dead letter target does not exist.",
      ],
    ];
    for (const [value, reason] of refusals) {
      const text = JSON.stringify(value);
      const refusal = invalidValue(`Value ${text} for parameter RedrivePolicy is invalid. Reason: ${reason}`);
      expect(await refusalOf(set(queue, { RedrivePolicy: text }))).toEqual(refusal);
      const made = broker.sqs.createQueue({ QueueName: "refused", Attributes: { RedrivePolicy: text } });
      expect(await refusalOf(made)).toEqual(refusal);
    }
  });

  it("can't name its own queue", async () => {
    const queue = await broker.queue();
    const refusal = await refusalOf(set(queue, { RedrivePolicy: policy(arnOf(queue)) }));
    expect(refusal).toEqual(
      invalidValue(
        `Value ${policy(arnOf(queue))} for parameter RedrivePolicy is invalid. Reason: A queue can't be its own dead-letter queue.`,
      ),
    );
  });
});

describe("RedriveAllowPolicy", () => {
  it("is told without the spaces that it came with, and taken away by an empty text", async () => {
    const queue = await broker.queue();
    await set(queue, { RedriveAllowPolicy: '{ "redrivePermission": "denyAll" }' });
    expect(await broker.attributes(queue, "RedriveAllowPolicy")).toEqual({
      RedriveAllowPolicy: '{"redrivePermission":"denyAll"}',
    });
    await set(queue, { RedriveAllowPolicy: "" });
    expect(await broker.attributes(queue, "RedriveAllowPolicy")).toEqual({});
  });

  it("says which queues may name this one as their dead-letter queue", async () => {
    const [dead, allowed, other] = [await broker.queue(), await broker.queue(), await broker.queue()];
    const allow = (value: object) => set(dead, { RedriveAllowPolicy: JSON.stringify(value) });
    const name = (queue: string) => set(queue, { RedrivePolicy: policy(arnOf(dead)) });
    await allow({ redrivePermission: "byQueue", sourceQueueArns: [arnOf(allowed)] });
    await name(allowed);
    expect(await refusalOf(name(other))).toMatchObject({ code: "InvalidParameterValue", status: 400 });
    await allow({ redrivePermission: "denyAll" });
    expect(await refusalOf(name(other))).toMatchObject({ code: "InvalidParameterValue", status: 400 });
    await allow({ redrivePermission: "allowAll" });
    await name(other);
  });

  it("is refused where it is not one", async () => {
    const queue = await broker.queue();
    const arn = arnOf(queue);
    const cannot = "Amazon SQS can't create the redrive allow policy";
    for (const text of [
      "nonsense",
      "{}",
      '{"redrivePermission":"some"}',
      '{"redrivePermission":"denyAll","more":1}',
    ]) {
      expect(await refusalOf(set(queue, { RedriveAllowPolicy: text })), text).toEqual(
        invalidValue(
          `Invalid value for the parameter RedriveAllowPolicy. Reason: ${cannot}, as it’s in an unsupported format.`,
        ),
      );
    }
    const refusals: readonly [object, string][] = [
      [
        { redrivePermission: "byQueue" },
        "When you specify the byQueue permission type, you must also specify one or more sourceQueueArns values.",
      ],
      [
        { redrivePermission: "denyAll", sourceQueueArns: [arn] },
        "To specify one or more source queue ARNs, you must set redrivePermission to byQueue.",
      ],
      [
        { redrivePermission: "byQueue", sourceQueueArns: Array.from({ length: 11 }, () => arn) },
        "The maximum number of source queue ARNs you can specify is 10.",
      ],
    ];
    for (const [value, reason] of refusals) {
      const text = JSON.stringify(value);
      expect(await refusalOf(set(queue, { RedriveAllowPolicy: text }))).toEqual(
        invalidValue(
          `Value ${text} for parameter RedriveAllowPolicy is invalid. Reason: ${cannot}. ${reason}`,
        ),
      );
    }
  });
});

describe("ListDeadLetterSourceQueues", () => {
  it("lists the queues whose dead letters come here, by pages", async () => {
    const dead = await broker.queue();
    const sources = [];
    for (let i = 0; i < 3; i++) {
      sources.push(await broker.queue({ RedrivePolicy: policy(arnOf(dead)) }));
    }
    const all = await broker.sqs.listDeadLetterSourceQueues({ QueueUrl: dead });
    expect(all.queueUrls!.toSorted()).toEqual(sources.toSorted());
    expect(all.NextToken).toBeUndefined();
    const first = await broker.sqs.listDeadLetterSourceQueues({ QueueUrl: dead, MaxResults: 2 });
    const { NextToken } = first;
    const rest = await broker.sqs.listDeadLetterSourceQueues({ QueueUrl: dead, MaxResults: 2, NextToken });
    expect([...first.queueUrls!, ...rest.queueUrls!].map(nameOf).toSorted()).toEqual(
      sources.map(nameOf).toSorted(),
    );
    expect(rest.NextToken).toBeUndefined();
  });

  it("lists no more a queue that was changed or deleted", async () => {
    const dead = await broker.queue();
    const RedrivePolicy = policy(arnOf(dead));
    const [changed, deleted] = [await broker.queue({ RedrivePolicy }), await broker.queue({ RedrivePolicy })];
    await set(changed, { RedrivePolicy: "" });
    await broker.sqs.deleteQueue({ QueueUrl: deleted });
    const { queueUrls = [] } = await broker.sqs.listDeadLetterSourceQueues({ QueueUrl: dead });
    expect(queueUrls).toEqual([]);
  });
});
