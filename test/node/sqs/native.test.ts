/** One broker, two doors: what is published over its own HTTP interface and received through SQS, and the reverse. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { request } from "node:http";
import { arnOf, bodiesOf, nameOf, SqsBroker } from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
beforeAll(() => broker.start());
afterAll(() => broker.stop());

const JSON_TYPE = { "Content-Type": "application/json" };
const ALL = { MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All" as const] };
/** Said of a body that is not text as XML could carry it. */
const ENCODED = { "Millrace.BodyEncoding": { DataType: "String", StringValue: "base64" } };

async function publish(queue: string, ...messages: object[]): Promise<void> {
  const body = JSON.stringify({ messages });
  const response = await broker.native("POST", `${nameOf(queue)}/batches`, body, JSON_TYPE);
  expect(response.status).toBe(201);
}

interface NativeMessage {
  readonly body?: string;
  readonly bodyBase64?: string;
  readonly orderingKey?: string;
  readonly dedupId?: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly death?: object;
}

async function receiveNatively(queue: string): Promise<NativeMessage[]> {
  const response = await broker.native("POST", `${nameOf(queue)}/receive`, '{"max": 10}', JSON_TYPE);
  const { messages } = (await response.json()) as { messages: NativeMessage[] };
  return messages;
}

describe("a message that was published natively", () => {
  it("has its headers as attributes, with types", async () => {
    const queue = await broker.queue();
    const headers = { text: "ü", number: 1.5, flag: true, bytes: { base64: "AP8=" } };
    await publish(queue, { body: "hello", headers });
    const [message] = await broker.receive(queue, ALL);
    expect(message).toMatchObject({ Body: "hello", MD5OfBody: "5d41402abc4b2a76b9719d911017c592" });
    expect(message!.MessageAttributes).toEqual({
      text: { DataType: "String", StringValue: "ü" },
      number: { DataType: "Number", StringValue: "1.5" },
      flag: { DataType: "String", StringValue: "true" },
      bytes: { DataType: "Binary", BinaryValue: Uint8Array.of(0, 255) },
    });
    expect(message!.Attributes).not.toHaveProperty("SenderId");
  });

  it("comes by one request with a header of HTTP, too", async () => {
    const queue = await broker.queue();
    const sent = await broker.native("POST", `${nameOf(queue)}/messages`, "hello", {
      "Content-Type": "text/plain",
      "Millrace-Header-Trace": "00-ab",
    });
    expect(sent.status).toBe(201);
    const [message] = await broker.receive(queue, ALL);
    expect(message).toMatchObject({ Body: "hello", MessageAttributes: { trace: { StringValue: "00-ab" } } });
  });

  it("has a body that is not text in base64, and says so", async () => {
    const queue = await broker.queue();
    const bodies = [Buffer.of(0, 255, 7), Buffer.from("a\0b")];
    await publish(queue, ...bodies.map((body) => ({ bodyBase64: body.toString("base64") })));
    // The client compares MD5s.
    const messages = await broker.receive(queue, ALL);
    expect(messages).toMatchObject(
      bodies.map((body) => ({ Body: body.toString("base64"), MessageAttributes: ENCODED })),
    );
  });

  it("may have no body at all", async () => {
    const queue = await broker.queue();
    await publish(queue, {});
    const [message] = await broker.receive(queue, ALL);
    expect(message).toMatchObject({ Body: "", MD5OfBody: "d41d8cd98f00b204e9800998ecf8427e" });
  });

  it("has its keys as a group and an id of duplicates", async () => {
    const queue = await broker.queue({ FifoQueue: "true" });
    await publish(queue, { body: "a", orderingKey: "g", dedupId: "d" });
    const sent = { QueueUrl: queue, MessageBody: "b", MessageGroupId: "g", MessageDeduplicationId: "d" };
    await broker.sqs.sendMessage(sent);
    const messages = await broker.receive(queue, ALL);
    expect(messages).toMatchObject([
      { Body: "a", Attributes: { MessageGroupId: "g", MessageDeduplicationId: "d" } },
    ]);
  });

  it("may have headers that attributes could not have", async () => {
    const queue = await broker.queue();
    const headers = { "a header!": "x", empty: "", control: "a\0b" };
    await publish(queue, { body: "hello", headers });
    const [message] = await broker.receive(queue, ALL);
    expect(message!.Body).toBe("hello");
    expect(message!.MessageAttributes!["a header!"]).toEqual({ DataType: "String", StringValue: "x" });
    const { control } = message!.MessageAttributes!;
    expect(control).toEqual({ DataType: "Binary", BinaryValue: new TextEncoder().encode("a\0b") });
  });

  it("is received, whatever it says under the names of the gateway's own headers", async () => {
    const queue = await broker.queue();
    const values = ["no JSON", "7", "null", "[1]", '[["a","String",-1]]', '{"a":7}', '[["a","String",1e9]]'];
    const lies = values.flatMap((value) =>
      ["AWS.Types", "AWS.Spilled"].map((name) => ({ body: "hello", headers: { [name]: value, a: "x" } })),
    );
    const odd = { "AWS.Types": 7, "AWS.Spilled": true, "AWS.SenderId": false, "AWS.TraceHeader": 1 };
    const messages = [...lies, { body: "hello", headers: odd }];
    await publish(queue, ...messages);
    const received = [];
    while (received.length < messages.length) received.push(await broker.next(queue, ALL));
    expect(bodiesOf(received)).toEqual(messages.map(() => "hello"));
  });
});

describe("a message that was sent through SQS", () => {
  it("has its attributes as headers, its group and its id as keys", async () => {
    const queue = await broker.queue({ FifoQueue: "true" });
    await broker.sqs.sendMessage({
      QueueUrl: queue,
      MessageBody: "hello",
      MessageGroupId: "g",
      MessageDeduplicationId: "d",
      MessageAttributes: {
        text: { DataType: "String", StringValue: "ü" },
        number: { DataType: "Number", StringValue: "1.50" },
        bytes: { DataType: "Binary", BinaryValue: Uint8Array.of(0, 255) },
      },
    });
    const [message] = await receiveNatively(queue);
    expect(message).toMatchObject({
      body: "hello",
      orderingKey: "g",
      dedupId: "d",
      headers: {
        text: "ü",
        number: "1.50",
        bytes: { base64: "AP8=" },
        "AWS.SenderId": expect.any(String),
        "AWS.Types": '{"number":"Number"}',
      },
    });
  });

  it("has attributes too large for headers in front of its body, and says so", async () => {
    const queue = await broker.queue();
    const StringValue = "x".repeat(200_000);
    const MessageAttributes = { large: { DataType: "String", StringValue } };
    await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "hello", MessageAttributes });
    const [message] = await receiveNatively(queue);
    expect(message!.headers).toMatchObject({ "AWS.Spilled": '[["large","String",200000]]' });
    expect(message!.body === `${StringValue}hello`).toBe(true);
  });

  it("dies with a record of its death", async () => {
    const { source, dead } = await broker.queueWithDeadLetters({ VisibilityTimeout: "0" });
    await broker.send(source, "a");
    await broker.receive(source);
    const letters: NativeMessage[] = [];
    await expect
      .poll(async () => letters.push(...(await receiveNatively(dead))), { timeout: 60_000 })
      .toBeGreaterThan(0);
    expect(letters).toMatchObject([{ body: "a", death: { queue: nameOf(source), reason: "failed" } }]);
  });
});

describe("a queue", () => {
  it("that was declared natively is one of SQS's, under any name", async () => {
    const config = { leaseMs: 45_000, ttlMs: null, maxFailures: 4, deadLetter: null };
    const declared = await broker.native("PUT", "orders.eu", JSON.stringify(config), JSON_TYPE);
    expect(declared.status).toBe(201);
    const { QueueUrl } = await broker.sqs.getQueueUrl({ QueueName: "orders.eu" });
    await broker.send(QueueUrl!, "a");
    expect(bodiesOf(await broker.receive(QueueUrl!))).toEqual(["a"]);
    expect(await broker.attributes(QueueUrl!, "All")).toMatchObject({
      QueueArn: arnOf(QueueUrl!),
      VisibilityTimeout: "45",
      MessageRetentionPeriod: "1209600",
    });
  });

  it("hides from each door what went out by the other", async () => {
    const queue = await broker.queue();
    await broker.send(queue, "a", "b");
    expect(await broker.receive(queue, { MaxNumberOfMessages: 1 })).toMatchObject([{ Body: "a" }]);
    expect(await receiveNatively(queue)).toMatchObject([{ body: "b" }]);
    expect(await broker.receive(queue)).toEqual([]);
  });

  it("of SQS's takes what an exchange leads to it", async () => {
    const queue = await broker.queue();
    const exchanges = `${broker.url}/v1/exchanges/shop`;
    const post = (method: string, url: string, body: object, headers = {}) =>
      fetch(url, { method, headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body) });
    await post("PUT", exchanges, {});
    await post("POST", `${exchanges}/bindings`, { destination: { queue: nameOf(queue) }, key: "orders.#" });
    await post("POST", `${exchanges}/messages`, { id: 1 }, { "Millrace-Routing-Key": "orders.eu" });
    expect((await broker.next(queue)).Body).toBe('{"id":1}');
  });
});

describe("a native long poll", () => {
  it("of one who has gone ends before its time, and takes no message", async () => {
    const queue = await broker.queue();
    const gone = request(`${broker.url}/v1/queues/${nameOf(queue)}/receive`, {
      method: "POST",
      headers: JSON_TYPE,
    });
    gone.on("error", () => undefined);
    gone.end('{"waitMs": 60000}');
    await expect.poll(() => broker.waiting(queue)).toBe(1);
    gone.destroy();
    await expect.poll(() => broker.waiting(queue), { timeout: 30_000 }).toBe(0);
    await broker.send(queue, "for who comes");
    const wish = { MessageSystemAttributeNames: ["ApproximateReceiveCount" as const] };
    expect(await broker.receive(queue, wish)).toMatchObject([
      { Body: "for who comes", Attributes: { ApproximateReceiveCount: "1" } },
    ]);
  });
});
