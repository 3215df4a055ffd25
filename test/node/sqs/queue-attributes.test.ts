/** Attributes of queues: what a new queue has, what each can be set to, what it does, and what is refused. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { arnOf, bodiesOf, invalidValue, modelled, refusalOf, SqsBroker } from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
beforeAll(() => broker.start());
afterAll(() => broker.stop());

type Attributes = Record<string, string>;

function set(QueueUrl: string, Attributes: Attributes): Promise<unknown> {
  return broker.sqs.setQueueAttributes({ QueueUrl, Attributes });
}

function make(QueueName: string, Attributes: Attributes): Promise<unknown> {
  return broker.sqs.createQueue({ QueueName, Attributes });
}

function badName(message: string) {
  return modelled("InvalidAttributeName", message);
}

function badValue(name: string) {
  return modelled("InvalidAttributeValue", `Invalid value for the parameter ${name}.`);
}

const SECONDS = expect.stringMatching(/^\d{10}$/);

function defaultsOf(queueUrl: string): Attributes {
  return {
    ApproximateNumberOfMessages: "0",
    ApproximateNumberOfMessagesDelayed: "0",
    ApproximateNumberOfMessagesNotVisible: "0",
    CreatedTimestamp: SECONDS,
    DelaySeconds: "0",
    LastModifiedTimestamp: SECONDS,
    MaximumMessageSize: "1048576",
    MessageRetentionPeriod: "345600",
    QueueArn: arnOf(queueUrl),
    ReceiveMessageWaitTimeSeconds: "0",
    SqsManagedSseEnabled: "true",
    VisibilityTimeout: "30",
  };
}

/** Whole numbers, and their ends. */
const RANGES: Readonly<Record<string, readonly [min: number, max: number]>> = {
  DelaySeconds: [0, 900],
  MaximumMessageSize: [1_024, 1_048_576],
  MessageRetentionPeriod: [60, 1_209_600],
  ReceiveMessageWaitTimeSeconds: [0, 20],
  VisibilityTimeout: [0, 43_200],
};

describe("GetQueueAttributes", () => {
  it("tells all of a new standard queue", async () => {
    const queue = await broker.queue();
    expect(await broker.attributes(queue, "All")).toEqual(defaultsOf(queue));
  });

  it("tells what a FIFO queue has beyond that", async () => {
    const queue = await broker.queue({ FifoQueue: "true" });
    expect(await broker.attributes(queue, "All")).toEqual({
      ...defaultsOf(queue),
      ContentBasedDeduplication: "false",
      DeduplicationScope: "queue",
      FifoQueue: "true",
      FifoThroughputLimit: "perQueue",
    });
  });

  it("tells only what is asked for, and leaves out what the queue has not", async () => {
    const queue = await broker.queue();
    const asked = ["VisibilityTimeout", "Policy", "RedrivePolicy", "FifoQueue", "KmsMasterKeyId"];
    expect(await broker.attributes(queue, ...asked)).toEqual({ VisibilityTimeout: "30" });
    expect(await broker.sqs.getQueueAttributes({ QueueUrl: queue })).not.toHaveProperty("Attributes");
  });

  it("refuses a name that is no attribute's", async () => {
    const queue = await broker.queue();
    for (const name of ["Foobar", "constructor"]) {
      const refusal = await refusalOf(broker.attributes(queue, name));
      expect(refusal).toEqual(badName(`Unknown Attribute ${name}.`));
    }
  });

  it("counts what waits, what is out and what is delayed", async () => {
    const queue = await broker.queue();
    await broker.send(queue, "a", "b", "c");
    await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "later", DelaySeconds: 900 });
    await broker.receive(queue, { MaxNumberOfMessages: 2 });
    expect(await broker.attributes(queue, "All")).toMatchObject({
      ApproximateNumberOfMessages: "1",
      ApproximateNumberOfMessagesNotVisible: "2",
      ApproximateNumberOfMessagesDelayed: "1",
    });
  });
});

describe("SetQueueAttributes and CreateQueue", () => {
  it("take whole numbers from one end of the range to the other", async () => {
    for (const end of [0, 1]) {
      const wanted = Object.fromEntries(
        Object.entries(RANGES).map(([name, range]) => [name, String(range[end])]),
      );
      const made = await broker.queue(wanted);
      expect(await broker.attributes(made, "All")).toMatchObject(wanted);
      const changed = await broker.queue();
      await set(changed, wanted);
      expect(await broker.attributes(changed, "All")).toMatchObject(wanted);
    }
  });

  it("refuse numbers out of range, and what is no whole number", async () => {
    const queue = await broker.queue();
    for (const [name, [min, max]] of Object.entries(RANGES)) {
      for (const value of [String(min - 1), String(max + 1), "", " 6", "7.5", "true"]) {
        expect(await refusalOf(set(queue, { [name]: value })), `${name}=${value}`).toEqual(badValue(name));
      }
      expect(await refusalOf(make("refused", { [name]: "-1" }))).toEqual(badValue(name));
    }
    expect(await broker.attributes(queue, "All")).toEqual(defaultsOf(queue));
  });

  it("refuse what can't be set, and what is no attribute", async () => {
    const queue = await broker.queue();
    const names = ["QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", "ApproximateNumberOfMessages"];
    for (const name of [...names, "Foobar", "All", "toString"]) {
      const refusal = badName(`Unknown Attribute ${name}.`);
      expect(await refusalOf(set(queue, { [name]: "1" }))).toEqual(refusal);
      expect(await refusalOf(make("refused", { [name]: "1" }))).toEqual(refusal);
    }
  });

  it("change nothing when one of several is refused", async () => {
    const queue = await broker.queue();
    await refusalOf(set(queue, { VisibilityTimeout: "7", DelaySeconds: "901" }));
    expect(await broker.attributes(queue, "VisibilityTimeout")).toEqual({ VisibilityTimeout: "30" });
  });

  it("need at least one attribute to set", async () => {
    const queue = await broker.queue();
    const refusal = await refusalOf(
      broker.sqs.setQueueAttributes({ QueueUrl: queue, Attributes: undefined }),
    );
    expect(refusal).toMatchObject({ code: "MissingParameter", status: 400 });
  });
});

describe("the attribute", () => {
  it("VisibilityTimeout is how long a received message is hidden", async () => {
    const queue = await broker.queue({ VisibilityTimeout: "1" });
    await broker.send(queue, "again");
    await broker.receive(queue);
    expect(await broker.receive(queue)).toEqual([]);
    expect((await broker.next(queue)).Body).toBe("again");
    await set(queue, { VisibilityTimeout: "0" });
    await broker.send(queue, "not hidden");
    for (let i = 0; i < 2; i++) expect((await broker.next(queue)).Body).toBeDefined();
  });

  it("DelaySeconds delays what is sent without a delay of its own", async () => {
    const queue = await broker.queue({ DelaySeconds: "900" });
    await broker.send(queue, "delayed");
    await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "at once", DelaySeconds: 0 });
    expect(bodiesOf(await broker.receive(queue))).toEqual(["at once"]);
    await set(queue, { DelaySeconds: "1" });
    await broker.send(queue, "a second later");
    expect((await broker.next(queue)).Body).toBe("a second later");
  });

  it("ReceiveMessageWaitTimeSeconds makes a receive wait that does not say how long", async () => {
    const queue = await broker.queue({ ReceiveMessageWaitTimeSeconds: "20" });
    expect(await broker.receive(queue, { WaitTimeSeconds: 0 })).toEqual([]);
    const waiting = broker.receive(queue);
    await broker.send(queue, "awaited");
    expect(bodiesOf(await waiting)).toEqual(["awaited"]);
  });

  it("MaximumMessageSize bounds a message, to the byte", async () => {
    const queue = await broker.queue({ MaximumMessageSize: "1024" });
    await broker.send(queue, "x".repeat(1_024));
    const refusal = await refusalOf(broker.send(queue, "x".repeat(1_025)));
    expect(refusal).toEqual(
      invalidValue("One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."),
    );
    await set(queue, { MaximumMessageSize: "1025" });
    await broker.send(queue, "x".repeat(1_025));
  });

  it("LastModifiedTimestamp moves with a change, CreatedTimestamp does not", async () => {
    const queue = await broker.queue();
    const before = await broker.attributes(queue, "All");
    await expect
      .poll(async () => {
        await set(queue, { VisibilityTimeout: "31" });
        await set(queue, { VisibilityTimeout: "30" });
        return (await broker.attributes(queue, "LastModifiedTimestamp"))["LastModifiedTimestamp"];
      })
      .not.toBe(before["LastModifiedTimestamp"]);
    const { CreatedTimestamp } = before;
    expect(await broker.attributes(queue, "CreatedTimestamp")).toEqual({ CreatedTimestamp });
  });

  it("Policy is told as it was set, and an empty one takes it away", async () => {
    const queue = await broker.queue();
    const Policy = '{ "Version": "2012-10-17", "Statement": [{"Effect": "Allow"}] }';
    await set(queue, { Policy });
    expect(await broker.attributes(queue, "Policy")).toEqual({ Policy });
    await set(queue, { Policy: "" });
    await set(queue, { Policy: "" });
    expect(await broker.attributes(queue, "Policy")).toEqual({});
    for (const bad of ["nonsense", "[]", "7"]) {
      expect(await refusalOf(set(queue, { Policy: bad }))).toEqual(badValue("Policy"));
    }
  });
});

describe("encryption is told, and has no effect:", () => {
  it("KmsMasterKeyId ends SqsManagedSseEnabled, and taking it away brings that not back", async () => {
    const queue = await broker.queue();
    await set(queue, { KmsMasterKeyId: "some key" });
    expect(await broker.attributes(queue, "All")).toMatchObject({
      KmsMasterKeyId: "some key",
      KmsDataKeyReusePeriodSeconds: "300",
      SqsManagedSseEnabled: "false",
    });
    await set(queue, { KmsMasterKeyId: "" });
    const { SqsManagedSseEnabled, ...rest } = await broker.attributes(queue, "All");
    expect(SqsManagedSseEnabled).toBe("false");
    expect(rest).not.toHaveProperty("KmsMasterKeyId");
    expect(rest).not.toHaveProperty("KmsDataKeyReusePeriodSeconds");
    await set(queue, { SqsManagedSseEnabled: "True" });
    expect(await broker.attributes(queue, "SqsManagedSseEnabled")).toEqual({ SqsManagedSseEnabled: "true" });
  });

  it("KmsDataKeyReusePeriodSeconds is a minute to a day, and shown beside a key", async () => {
    const queue = await broker.queue();
    for (const KmsDataKeyReusePeriodSeconds of ["60", "86400"]) {
      await set(queue, { KmsDataKeyReusePeriodSeconds, KmsMasterKeyId: "k" });
      expect(await broker.attributes(queue, "KmsDataKeyReusePeriodSeconds")).toEqual({
        KmsDataKeyReusePeriodSeconds,
      });
    }
    for (const value of ["59", "86401"]) {
      const refusal = await refusalOf(set(queue, { KmsDataKeyReusePeriodSeconds: value }));
      expect(refusal).toEqual(badValue("KmsDataKeyReusePeriodSeconds"));
    }
  });

  it("both kinds at once are refused", async () => {
    const queue = await broker.queue();
    const both = { KmsMasterKeyId: "k", SqsManagedSseEnabled: "true" };
    expect(await refusalOf(set(queue, both))).toEqual(
      badName(
        "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
      ),
    );
    expect(await refusalOf(set(queue, { SqsManagedSseEnabled: "maybe" }))).toEqual(
      badValue("SqsManagedSseEnabled"),
    );
  });
});

describe("attributes of FIFO queues", () => {
  it("are refused on standard queues, each in its words", async () => {
    const queue = await broker.queue();
    const only = (name: string) => badName(`You can specify the ${name} only when FifoQueue is set to true.`);
    const refusals: readonly [Attributes, unknown][] = [
      [{ FifoQueue: "false" }, badName("Unknown Attribute FifoQueue.")],
      [{ ContentBasedDeduplication: "true" }, badName("Unknown Attribute ContentBasedDeduplication.")],
      [{ DeduplicationScope: "queue" }, only("DeduplicationScope")],
      [{ FifoThroughputLimit: "perQueue" }, only("FifoThroughputLimit")],
    ];
    for (const [attributes, refusal] of refusals) {
      expect(await refusalOf(make("standard", attributes))).toEqual(refusal);
      expect(await refusalOf(set(queue, attributes))).toEqual(refusal);
    }
    const fifo = set(queue, { FifoQueue: "true" });
    expect(await refusalOf(fifo)).toEqual(badName("Unknown Attribute FifoQueue."));
  });

  it("FifoQueue can't be changed, but may be said again", async () => {
    const queue = await broker.queue({ FifoQueue: "true" });
    await set(queue, { FifoQueue: "true" });
    expect(await refusalOf(set(queue, { FifoQueue: "false" }))).toEqual(
      modelled(
        "InvalidAttributeValue",
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
      ),
    );
  });

  it("ContentBasedDeduplication, DeduplicationScope and FifoThroughputLimit can be set", async () => {
    const queue = await broker.queue({ FifoQueue: "true" });
    const wanted = {
      ContentBasedDeduplication: "true",
      DeduplicationScope: "messageGroup",
      FifoThroughputLimit: "perMessageGroupId",
    };
    await set(queue, wanted);
    expect(await broker.attributes(queue, "All")).toMatchObject(wanted);
    const made = await broker.queue({ FifoQueue: "true", ...wanted });
    expect(await broker.attributes(made, "All")).toMatchObject(wanted);
    for (const name of Object.keys(wanted)) {
      expect(await refusalOf(set(queue, { [name]: "some" }))).toEqual(badValue(name));
    }
  });

  it("FifoThroughputLimit perMessageGroupId takes DeduplicationScope messageGroup", async () => {
    const refusal = modelled(
      "InvalidAttributeValue",
      "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup",
    );
    const limit = { FifoThroughputLimit: "perMessageGroupId" };
    expect(await refusalOf(make("limited.fifo", { FifoQueue: "true", ...limit }))).toEqual(refusal);
    const queue = await broker.queue({ FifoQueue: "true" });
    expect(await refusalOf(set(queue, limit))).toEqual(refusal);
    const scoped = { FifoQueue: "true", DeduplicationScope: "messageGroup" };
    await set(await broker.queue({ ...scoped, FifoThroughputLimit: "perQueue" }), limit);
  });
});
