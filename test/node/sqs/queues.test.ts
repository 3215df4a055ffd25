/** Queues of SQS: how they are made, named, found, listed, emptied and taken away. */
import { SQS } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  bodiesOf,
  invalidValue,
  modelled,
  nameOf,
  NO_QUEUE,
  refusalOf,
  SqsBroker,
} from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
beforeAll(() => broker.start());
afterAll(() => broker.stop());

const BAD_NAME = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
const BAD_FIFO_NAME =
  "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.";

function differs(attribute: string) {
  return modelled(
    "QueueNameExists",
    `A queue already exists with the same name and a different value for attribute ${attribute}`,
    400,
    "QueueAlreadyExists",
  );
}

function make(QueueName: string | undefined, Attributes: Record<string, string> = {}) {
  return broker.sqs.createQueue({ QueueName, Attributes });
}

describe("CreateQueue", () => {
  it("answers with a URL at the address where it was asked", async () => {
    const { QueueUrl } = await make("made");
    expect(QueueUrl).toBe(`${broker.url}/000000000000/made`);
  });

  it("answers the same for a queue that is there, with the same attributes, fewer or none", async () => {
    const first = await make("again", { DelaySeconds: "5", VisibilityTimeout: "60" });
    for (const attributes of [{ DelaySeconds: "5", VisibilityTimeout: "60" }, { DelaySeconds: "5" }, {}]) {
      expect((await make("again", attributes)).QueueUrl).toBe(first.QueueUrl);
    }
  });

  it("refuses a name that is taken by a queue with another value of an attribute", async () => {
    await make("taken", { DelaySeconds: "5" });
    expect(await refusalOf(make("taken", { DelaySeconds: "6" }))).toEqual(differs("DelaySeconds"));
    await make("taken.fifo", { FifoQueue: "true" });
    const other = make("taken.fifo", { FifoQueue: "true", ContentBasedDeduplication: "true" });
    expect(await refusalOf(other)).toEqual(differs("ContentBasedDeduplication"));
  });

  it("compares with what attributes are now, not with what they were at first", async () => {
    const { QueueUrl } = await make("changed");
    expect((await make("changed", { DelaySeconds: "0" })).QueueUrl).toBe(QueueUrl);
    await broker.sqs.setQueueAttributes({ QueueUrl, Attributes: { DelaySeconds: "1" } });
    expect((await make("changed", { DelaySeconds: "1" })).QueueUrl).toBe(QueueUrl);
    expect((await make("changed")).QueueUrl).toBe(QueueUrl);
    expect(await refusalOf(make("changed", { DelaySeconds: "0" }))).toEqual(differs("DelaySeconds"));
  });

  it("does not compare tags and messages", async () => {
    const { QueueUrl } = await make("used");
    await broker.send(QueueUrl!, "one");
    await broker.sqs.tagQueue({ QueueUrl, Tags: { a: "b" } });
    const again = await broker.sqs.createQueue({ QueueName: "used", tags: { c: "d" } });
    expect(again.QueueUrl).toBe(QueueUrl);
    expect((await broker.sqs.listQueueTags({ QueueUrl })).Tags).toEqual({ a: "b" });
  });

  it("takes names of 80 characters, of letters, digits, hyphens and underscores", async () => {
    for (const name of ["_a-Z", "-9", "x".repeat(80)]) {
      expect(nameOf((await make(name)).QueueUrl!)).toBe(name);
    }
    const fifo = `${"x".repeat(75)}.fifo`;
    expect(nameOf((await make(fifo, { FifoQueue: "true" })).QueueUrl!)).toBe(fifo);
  });

  it("refuses other names", async () => {
    for (const name of ["a/b", "a b", "a.b", "ü", "x".repeat(81), "named.fifo"]) {
      expect(await refusalOf(make(name)), name).toEqual(invalidValue(BAD_NAME));
    }
    for (const name of ["named", "na.med.fifo", ".fifo", `${"x".repeat(76)}.fifo`]) {
      const refusal = await refusalOf(make(name, { FifoQueue: "true" }));
      expect(refusal, name).toEqual(invalidValue(BAD_FIFO_NAME));
    }
    expect(await refusalOf(make(""))).toEqual(invalidValue("Queue name cannot be empty"));
    expect(await refusalOf(make(undefined))).toEqual(
      invalidValue("Value for parameter QueueName is invalid. Reason: Must specify a queue name."),
    );
  });
});

describe("GetQueueUrl", () => {
  it("tells the URL of a queue, whoever is named as its owner", async () => {
    const { QueueUrl } = await make("found");
    expect((await broker.sqs.getQueueUrl({ QueueName: "found" })).QueueUrl).toBe(QueueUrl);
    const owned = { QueueName: "found", QueueOwnerAWSAccountId: "123456789012" };
    expect((await broker.sqs.getQueueUrl(owned)).QueueUrl).toBe(QueueUrl);
  });

  it("refuses a name that no queue has", async () => {
    for (const QueueName of ["nowhere", "no/where"]) {
      expect(await refusalOf(broker.sqs.getQueueUrl({ QueueName }))).toEqual(NO_QUEUE);
    }
    const nameless = broker.sqs.getQueueUrl({ QueueName: undefined });
    expect(await refusalOf(nameless)).toMatchObject({ code: "InvalidParameterValue" });
  });
});

describe("a queue is known", () => {
  it("by its URL with any host and account, and by its bare name", async () => {
    const { QueueUrl } = await make("aliased");
    const aliases = ["https://sqs.us-east-1.amazonaws.com/123456789012/aliased", "aliased", "/1/aliased"];
    for (const alias of aliases) await broker.send(alias, alias);
    expect(bodiesOf(await broker.receive(QueueUrl!))).toEqual(aliases);
  });

  it("by its URL alone to a client without an endpoint", async () => {
    const { QueueUrl } = await make("direct");
    const credentials = { accessKeyId: "any", secretAccessKey: "any" };
    const sqs = new SQS({ region: "us-east-1", credentials, maxAttempts: 1 });
    await sqs.sendMessage({ QueueUrl, MessageBody: "it came" });
    sqs.destroy();
    expect(bodiesOf(await broker.receive(QueueUrl!))).toEqual(["it came"]);
  });

  it("to no action when it is not there, or no URL is said", async () => {
    const { sqs } = broker;
    const calls: ((QueueUrl: string | undefined) => Promise<unknown>)[] = [
      (QueueUrl) => sqs.sendMessage({ QueueUrl, MessageBody: "a" }),
      (QueueUrl) => sqs.sendMessageBatch({ QueueUrl, Entries: [{ Id: "a", MessageBody: "a" }] }),
      (QueueUrl) => sqs.receiveMessage({ QueueUrl }),
      (QueueUrl) => sqs.getQueueAttributes({ QueueUrl, AttributeNames: ["All"] }),
      (QueueUrl) => sqs.setQueueAttributes({ QueueUrl, Attributes: { DelaySeconds: "1" } }),
      (QueueUrl) => sqs.purgeQueue({ QueueUrl }),
      (QueueUrl) => sqs.deleteQueue({ QueueUrl }),
      (QueueUrl) => sqs.tagQueue({ QueueUrl, Tags: { a: "b" } }),
      (QueueUrl) => sqs.untagQueue({ QueueUrl, TagKeys: ["a"] }),
      (QueueUrl) => sqs.listQueueTags({ QueueUrl }),
      (QueueUrl) => sqs.listDeadLetterSourceQueues({ QueueUrl }),
      (QueueUrl) => sqs.removePermission({ QueueUrl, Label: "a" }),
      (QueueUrl) =>
        sqs.addPermission({ QueueUrl, Label: "a", AWSAccountIds: ["123456789012"], Actions: ["*"] }),
    ];
    for (const QueueUrl of [`${broker.url}/000000000000/gone`, undefined]) {
      for (const call of calls) expect(await refusalOf(call(QueueUrl))).toEqual(NO_QUEUE);
    }
  });
});

describe("ListQueues", () => {
  it("lists by prefix, and says nothing where there is nothing", async () => {
    for (const name of ["list-a", "list-b", "List-c"]) await make(name);
    const { QueueUrls, NextToken } = await broker.sqs.listQueues({ QueueNamePrefix: "list-" });
    expect(QueueUrls?.map(nameOf)).toEqual(["list-a", "list-b"]);
    expect(NextToken).toBeUndefined();
    expect(await broker.sqs.listQueues({ QueueNamePrefix: "list-z" })).not.toHaveProperty("QueueUrls");
  });

  it("gives pages, and a token while there is more", async () => {
    for (const name of ["page-1", "page-2", "page-3", "page-4"]) await make(name);
    const wish = { QueueNamePrefix: "page-", MaxResults: 2 };
    const first = await broker.sqs.listQueues(wish);
    expect(first.QueueUrls?.map(nameOf)).toEqual(["page-1", "page-2"]);
    expect(first.NextToken).toBeDefined();
    const second = await broker.sqs.listQueues({ ...wish, NextToken: first.NextToken });
    expect(second.QueueUrls?.map(nameOf)).toEqual(["page-3", "page-4"]);
    expect(second.NextToken).toBeUndefined();
  });

  it("refuses a token without a size, a token that is none, and a size out of range", async () => {
    const refused = (wish: object) => refusalOf(broker.sqs.listQueues(wish));
    expect(await refused({ NextToken: "cGFnZS0x" })).toEqual(
      invalidValue("MaxResults is a mandatory parameter when you provide a value for NextToken."),
    );
    const garbage = { NextToken: "*", MaxResults: 2 };
    expect(await refused(garbage)).toEqual(invalidValue("Invalid or expired next token."));
    for (const MaxResults of [0, 1_001]) {
      expect(await refused({ MaxResults })).toMatchObject({ code: "InvalidParameterValue", status: 400 });
    }
  });
});

describe("PurgeQueue", () => {
  it("takes away what waits, what is out and what is delayed", async () => {
    const QueueUrl = await broker.queue();
    await broker.send(QueueUrl, "out", "waits");
    const [out] = await broker.receive(QueueUrl, { MaxNumberOfMessages: 1 });
    await broker.sqs.sendMessage({ QueueUrl, MessageBody: "delayed", DelaySeconds: 900 });
    await broker.sqs.purgeQueue({ QueueUrl });
    expect(await broker.attributes(QueueUrl, "All")).toMatchObject({
      ApproximateNumberOfMessages: "0",
      ApproximateNumberOfMessagesNotVisible: "0",
      ApproximateNumberOfMessagesDelayed: "0",
    });
    await broker.sqs.deleteMessage({ QueueUrl, ReceiptHandle: out!.ReceiptHandle });
  });

  it("may come again at once", async () => {
    const QueueUrl = await broker.queue();
    await broker.sqs.purgeQueue({ QueueUrl });
    await broker.send(QueueUrl, "new");
    await broker.sqs.purgeQueue({ QueueUrl });
    expect(await broker.receive(QueueUrl)).toEqual([]);
  });

  it("forgets deduplication ids", async () => {
    const QueueUrl = await broker.queue({ FifoQueue: "true", ContentBasedDeduplication: "true" });
    const message = { QueueUrl, MessageBody: "same", MessageGroupId: "g" };
    await broker.sqs.sendMessage(message);
    await broker.sqs.purgeQueue({ QueueUrl });
    await broker.sqs.sendMessage(message);
    expect(bodiesOf(await broker.receive(QueueUrl))).toEqual(["same"]);
  });
});

describe("DeleteQueue", () => {
  it("takes a queue away with its messages, and its name is free at once", async () => {
    const { QueueUrl } = await make("short-lived", { DelaySeconds: "0" });
    await broker.send(QueueUrl!, "lost");
    await broker.sqs.deleteQueue({ QueueUrl });
    expect(await refusalOf(broker.sqs.receiveMessage({ QueueUrl }))).toEqual(NO_QUEUE);
    expect(await refusalOf(broker.sqs.deleteQueue({ QueueUrl }))).toEqual(NO_QUEUE);
    await make("short-lived", { VisibilityTimeout: "7" });
    expect(await broker.receive(QueueUrl!)).toEqual([]);
    expect(await broker.attributes(QueueUrl!, "VisibilityTimeout")).toEqual({ VisibilityTimeout: "7" });
  });
});
