/** Requests as they are on the wire, by hand: what clients never send, and what they read without telling. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bodiesOf, SqsBroker } from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
let queue: string;
beforeAll(async () => {
  await broker.start();
  queue = await broker.queue();
});
afterAll(() => broker.stop());

const QUERY_ERROR = "x-amzn-query-error";

function json(action: string, body: string, path = "/"): Promise<Response> {
  const headers = { "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": `AmazonSQS.${action}` };
  return fetch(broker.url + path, { method: "POST", headers, body });
}

function form(body: string, path = "/"): Promise<Response> {
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  return fetch(broker.url + path, { method: "POST", headers, body });
}

/** Status, code, and what names the error in the protocol's own way. */
async function told(response: Response): Promise<readonly [number, string, string]> {
  const text = await response.text();
  const code = response.headers.get(QUERY_ERROR)?.replace(/;Sender$/, "");
  if (code !== undefined) return [response.status, code, (JSON.parse(text) as { __type: string }).__type];
  return [response.status, /<Code>(.*)<\/Code>/.exec(text)?.[1] ?? "", "XML"];
}

const common = (exception: string) => `com.amazon.coral.service#${exception}`;

describe("an answer", () => {
  it("in JSON is of the service's type and has a request's id", async () => {
    const response = await json("ListQueues", "{}");
    expect(response.headers.get("content-type")).toBe("application/x-amz-json-1.0");
    expect(response.headers.get("x-amzn-requestid")).toMatch(/^[0-9a-f-]{36}$/);
    expect(response.headers.get("date")).toMatch(/ GMT$/);
  });

  it("of an action that has nothing to tell is empty in JSON", async () => {
    for (const action of ["PurgeQueue", "DeleteQueue"]) {
      const QueueUrl = await broker.queue();
      const response = await json(action, JSON.stringify({ QueueUrl }));
      expect([response.status, await response.text()]).toEqual([200, ""]);
    }
  });

  it("that is a refusal tells the type, the message and the code of the older protocol", async () => {
    const response = await json("PurgeQueue", '{"QueueUrl":"gone"}');
    expect(response.status).toBe(400);
    expect(response.headers.get(QUERY_ERROR)).toBe("AWS.SimpleQueueService.NonExistentQueue;Sender");
    expect(await response.json()).toEqual({
      __type: "com.amazonaws.sqs#QueueDoesNotExist",
      message: "The specified queue does not exist.",
    });
  });
});

describe("a request", () => {
  it("in JSON may go to the queue's own URL", async () => {
    const { pathname } = new URL(queue);
    const body = JSON.stringify({ QueueUrl: queue, MessageBody: "a" });
    expect((await json("SendMessage", body, pathname)).status).toBe(200);
    expect(bodiesOf(await broker.receive(queue))).toEqual(["a"]);
  });

  it("may have numbers and flags for texts, and null for what is not there", async () => {
    const Attributes = { DelaySeconds: 5, FifoQueue: true };
    const body = JSON.stringify({ QueueName: "typed.fifo", Attributes, tags: null, Unknown: 1 });
    expect((await json("CreateQueue", body)).status).toBe(200);
    expect(await broker.attributes("typed.fifo", "DelaySeconds", "FifoQueue")).toEqual({
      DelaySeconds: "5",
      FifoQueue: "true",
    });
  });
});

describe("refused is a request", () => {
  it("for an action that there is not", async () => {
    const refusal = [400, "InvalidAction", common("UnknownOperationException")];
    expect(await told(await json("FooBar", "{}"))).toEqual(refusal);
    expect(await told(await form("Action=FooBar"))).toEqual([400, "InvalidAction", "XML"]);
  });

  it("whose JSON is none, or of another shape", async () => {
    const refusal = [400, "MalformedInput", common("SerializationException")];
    for (const body of ["", "nonsense", "[]", '"a"', '{"QueueUrl":{}}', '{"QueueUrl":["a"]}']) {
      expect(await told(await json("ReceiveMessage", body)), body).toEqual(refusal);
    }
    const text = JSON.stringify({ QueueUrl: queue, MaxNumberOfMessages: "ten" });
    expect(await told(await json("ReceiveMessage", text))).toEqual(refusal);
  });

  it("of Query without an action", async () => {
    expect(await told(await form("QueueUrl=a"))).toEqual([400, "MissingAction", "XML"]);
  });

  it("of Query that names no queue and is sent to none's URL", async () => {
    expect(await told(await form("Action=PurgeQueue"))).toEqual([404, "InvalidAddress", "XML"]);
  });

  it("of Query with an escape that is none", async () => {
    const response = await form("Action=PurgeQueue&QueueUrl=%zz");
    expect(await told(response)).toEqual([404, "MalformedQueryString", "XML"]);
  });

  it("over 4 MiB", async () => {
    const body = JSON.stringify({ QueueUrl: queue, MessageBody: "x".repeat(4 * 1024 ** 2) });
    const refusal = [413, "RequestEntityTooLarge", common("RequestEntityTooLargeException")];
    expect(await told(await json("SendMessage", body))).toEqual(refusal);
  });
});
