/** The AWS CLI, as Debian has it: it speaks the Query protocol. Each start takes it a second, so there are few. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { arnOf, bodiesOf, nameOf, REGION, SqsBroker } from "../../support/sqs-broker.ts";

const AWS = "/usr/bin/aws";
const run = promisify(execFile);
const broker = new SqsBroker();

beforeAll(() => broker.start());
afterAll(() => broker.stop());

function environment(): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "",
    AWS_ACCESS_KEY_ID: "any",
    AWS_SECRET_ACCESS_KEY: "any",
    AWS_DEFAULT_REGION: REGION,
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_PAGER: "",
    // Settings and keys of whoever runs this are not looked at.
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
  };
}

/** What `aws sqs …` prints, as JSON; null when it prints nothing. */
async function aws(...words: string[]): Promise<unknown> {
  const { stdout } = await run(AWS, ["--endpoint-url", broker.url, "--output", "json", "sqs", ...words], {
    env: environment(),
  });
  return stdout === "" ? null : JSON.parse(stdout);
}

/** How it fails. */
async function failure(...words: string[]): Promise<{ code: unknown; stderr: unknown }> {
  const error = await aws(...words).then(
    () => {
      throw new Error("it did not fail");
    },
    (reason: unknown) => reason as { code?: unknown; stderr?: unknown },
  );
  return { code: error.code, stderr: String(error.stderr).trim() };
}

describe("the AWS CLI makes queues:", () => {
  it("create-queue with attributes and tags", async () => {
    const attributes = "VisibilityTimeout=45,FifoQueue=true,ContentBasedDeduplication=true";
    const QueueUrl = `${broker.url}/000000000000/cli.fifo`;
    expect(
      await aws(
        "create-queue",
        "--queue-name",
        "cli.fifo",
        "--attributes",
        attributes,
        "--tags",
        "team=a,cost=b",
      ),
    ).toEqual({ QueueUrl });
    expect(await broker.attributes(QueueUrl, "VisibilityTimeout", "ContentBasedDeduplication")).toEqual({
      VisibilityTimeout: "45",
      ContentBasedDeduplication: "true",
    });
    expect((await broker.sqs.listQueueTags({ QueueUrl })).Tags).toEqual({ team: "a", cost: "b" });
  });

  it("create-queue with a redrive policy, list-dead-letter-source-queues", async () => {
    const dead = await broker.queue();
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: arnOf(dead), maxReceiveCount: "1" });
    const made = await aws(
      "create-queue",
      "--queue-name",
      "mortal",
      "--attributes",
      JSON.stringify({ RedrivePolicy }),
    );
    const { QueueUrl } = made as { QueueUrl: string };
    expect(await aws("list-dead-letter-source-queues", "--queue-url", dead)).toEqual({
      queueUrls: [QueueUrl],
    });
    await broker.send(QueueUrl, "dead");
    await broker.receive(QueueUrl, { VisibilityTimeout: 0 });
    expect((await broker.next(dead)).Body).toBe("dead");
  });

  it("set-queue-attributes, get-queue-attributes", async () => {
    const url = await broker.queue();
    expect(
      await aws("set-queue-attributes", "--queue-url", url, "--attributes", "DelaySeconds=7"),
    ).toBeNull();
    expect(await aws("get-queue-attributes", "--queue-url", url, "--attribute-names", "All")).toMatchObject({
      Attributes: { DelaySeconds: "7", VisibilityTimeout: "30", QueueArn: arnOf(url) },
    });
  });

  it("tag-queue, list-queue-tags", async () => {
    const url = await broker.queue();
    expect(await aws("tag-queue", "--queue-url", url, "--tags", "Name=a b,empty=")).toBeNull();
    expect(await aws("list-queue-tags", "--queue-url", url)).toEqual({ Tags: { Name: "a b", empty: "" } });
  });

  it("list-queues in pages", async () => {
    const urls: string[] = [];
    for (const letter of "abc") {
      urls.push((await broker.sqs.createQueue({ QueueName: `paged-${letter}` })).QueueUrl!);
    }
    const listed = await aws("list-queues", "--queue-name-prefix", "paged-", "--page-size", "2");
    expect(listed).toEqual({ QueueUrls: urls });
  });
});

describe("the AWS CLI works with messages:", () => {
  it("send-message with attributes, receive-message", async () => {
    const url = await broker.queue();
    const attributes = {
      color: { DataType: "String", StringValue: '<blue> & "green"' },
      blob: { DataType: "Binary.raw", BinaryValue: Buffer.from([0, 255]).toString("base64") },
    };
    const body = "one\r\ntwo <b> & \u{1f600}";
    const send = ["--message-body", body, "--message-attributes", JSON.stringify(attributes)];
    const sent = await aws("send-message", "--queue-url", url, ...send);
    const receive = ["--message-attribute-names", "All", "--attribute-names", "ApproximateReceiveCount"];
    expect(await aws("receive-message", "--queue-url", url, ...receive)).toEqual({
      Messages: [
        {
          MessageId: (sent as { MessageId: string }).MessageId,
          ReceiptHandle: expect.any(String) as string,
          MD5OfBody: (sent as { MD5OfMessageBody: string }).MD5OfMessageBody,
          Body: body,
          Attributes: { ApproximateReceiveCount: "1" },
          MD5OfMessageAttributes: (sent as { MD5OfMessageAttributes: string }).MD5OfMessageAttributes,
          MessageAttributes: attributes,
        },
      ],
    });
  });

  it("receive-message as a long poll", async () => {
    const url = await broker.queue();
    const polled = aws("receive-message", "--queue-url", url, "--wait-time-seconds", "20");
    await broker.sqs.sendMessage({ QueueUrl: url, MessageBody: "at last", DelaySeconds: 2 });
    expect(await polled).toMatchObject({ Messages: [{ Body: "at last" }] });
  });

  it("change-message-visibility, delete-message", async () => {
    const url = await broker.queue();
    await broker.send(url, "x");
    const first = (await broker.next(url)).ReceiptHandle!;
    const freed = ["--receipt-handle", first, "--visibility-timeout", "0"];
    expect(await aws("change-message-visibility", "--queue-url", url, ...freed)).toBeNull();
    const second = (await broker.next(url)).ReceiptHandle!;
    expect(await aws("delete-message", "--queue-url", url, "--receipt-handle", second)).toBeNull();
    const counts = await broker.attributes(url, "ApproximateNumberOfMessagesNotVisible");
    expect(counts).toEqual({ ApproximateNumberOfMessagesNotVisible: "0" });
  });

  it("send-message-batch of which one fails", async () => {
    const url = await broker.queue();
    const entries = [
      { Id: "good", MessageBody: "good" },
      { Id: "bad", MessageBody: "bad", DelaySeconds: 901 },
    ];
    expect(
      await aws("send-message-batch", "--queue-url", url, "--entries", JSON.stringify(entries)),
    ).toMatchObject({
      Successful: [{ Id: "good" }],
      Failed: [{ Id: "bad", Code: "InvalidParameterValue", SenderFault: true }],
    });
    expect(bodiesOf(await broker.receive(url))).toEqual(["good"]);
  });

  it("purge-queue without a signature, which an open broker does not need", async () => {
    const url = await broker.queue();
    await broker.send(url, "x");
    expect(await aws("--no-sign-request", "purge-queue", "--queue-url", url)).toBeNull();
    expect(await broker.receive(url)).toEqual([]);
  });
});

describe("the AWS CLI tells errors:", () => {
  it("of a queue that is not there", async () => {
    expect(await failure("get-queue-url", "--queue-name", "nowhere")).toEqual({
      code: 254,
      stderr:
        "An error occurred (AWS.SimpleQueueService.NonExistentQueue) when calling the GetQueueUrl operation: The specified queue does not exist for this wsdl version.",
    });
  });

  it("of a value that is not allowed", async () => {
    const url = await broker.queue();
    const told = await failure(
      "receive-message",
      "--queue-url",
      nameOf(url),
      "--max-number-of-messages",
      "11",
    );
    expect(told).toEqual({
      code: 254,
      stderr:
        "An error occurred (InvalidParameterValue) when calling the ReceiveMessage operation: Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.",
    });
  });
});
