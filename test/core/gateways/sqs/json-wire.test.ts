// AWS JSON 1.0: what is read leniently, what is refused and how, and the bytes of answers.
import { describe, expect, it } from "vitest";
import { ITEM_COUNT_MAX } from "../../../../src/gateways/sqs/decode.ts";
import { SQS_ERRORS, sqsRefusal, type SqsErrorName } from "../../../../src/gateways/sqs/errors.ts";
import { jsonWire } from "../../../../src/gateways/sqs/json-wire.ts";
import { decodeJson, inputOf } from "../../../support/sqs-requests.ts";

const QueueUrl = "http://broker.test:8787/1/q";
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe("a call in JSON", () => {
  it("is an action with its input", () => {
    expect(decodeJson("DeleteMessage", { QueueUrl, ReceiptHandle: "h" })).toEqual({
      ok: true,
      value: { action: "DeleteMessage", input: { QueueUrl, ReceiptHandle: "h" } },
    });
  });

  it("may say what nobody asked for", () => {
    expect(inputOf(decodeJson("DeleteQueue", { QueueUrl, Colour: { deep: [1] } }))).toEqual({ QueueUrl });
  });

  it("says with null that a member is absent", () => {
    const input = inputOf(decodeJson("ReceiveMessage", { QueueUrl, WaitTimeSeconds: null }));
    expect(Object.keys(input)).toEqual(["QueueUrl"]);
  });

  it("takes a member's name from the object itself only", () => {
    const body = `{"QueueUrl":"${QueueUrl}","__proto__":{"ReceiptHandle":"h"}}`;
    expect(decodeJson("DeleteMessage", body)).toMatchObject({ ok: false, error: "MissingParameter" });
  });

  it("has keys of maps that are like any other, whatever they are called", () => {
    const body = `{"QueueUrl":"q","Tags":{"__proto__":"a","constructor":"b"}}`;
    const { Tags } = inputOf(decodeJson("TagQueue", body)) as { Tags: object };
    expect(Object.entries(Tags)).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
    expect(Object.getPrototypeOf(Tags)).toBe(Object.prototype);
  });

  it.each([
    [30, 30],
    [30.9, 30],
    [-0.5, 0],
    ["30", 30],
    ["-30", -30],
    [2 ** 31 - 1, 2 ** 31 - 1],
  ])("may write an integer as %j", (written, VisibilityTimeout) => {
    const call = decodeJson("ChangeMessageVisibility", {
      QueueUrl,
      ReceiptHandle: "h",
      VisibilityTimeout: written,
    });
    expect(inputOf(call)).toEqual({ QueueUrl, ReceiptHandle: "h", VisibilityTimeout });
  });

  it.each([
    [2 ** 31],
    [-(2 ** 31) - 1],
    [1e300],
    ["9999999999"],
    [""],
    ["1.5"],
    ["0x10"],
    [true],
    [[1]],
    [{}],
  ])("may not write an integer as %j", (written) => {
    const call = decodeJson("ReceiveMessage", { QueueUrl, VisibilityTimeout: written });
    expect(call).toMatchObject({ ok: false, error: "SerializationException" });
  });

  it("may write a text as a number or a truth value", () => {
    const call = decodeJson("SetQueueAttributes", { QueueUrl, Attributes: { a: 60, b: true, c: "x" } });
    expect(inputOf(call)).toEqual({ QueueUrl, Attributes: { a: "60", b: "true", c: "x" } });
  });

  it("carries bytes as base64", () => {
    const MessageAttributes = { a: { DataType: "Binary", BinaryValue: "AAH/" } };
    const input = inputOf(decodeJson("SendMessage", { QueueUrl, MessageBody: "b", MessageAttributes }));
    expect(input).toMatchObject({ MessageAttributes: { a: { BinaryValue: bytes(0, 1, 255) } } });
  });

  it.each<[string, string, string | Uint8Array]>([
    ["cut short", "ListQueues", '{"MaxResults":'],
    ["empty", "ListQueues", ""],
    ["no object", "ListQueues", "[]"],
    ["null", "ListQueues", "null"],
    ["a text", "ListQueues", '"{}"'],
    ["not UTF-8", "ListQueues", bytes(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
    ["begun with a byte order mark", "ListQueues", bytes(0xef, 0xbb, 0xbf, 0x7b, 0x7d)],
    ["with a list for a text", "DeleteQueue", '{"QueueUrl":["q"]}'],
    ["with a text for a list", "GetQueueAttributes", '{"QueueUrl":"q","AttributeNames":"All"}'],
    ["with a list for a map", "TagQueue", '{"QueueUrl":"q","Tags":[]}'],
    ["with a map in a map", "TagQueue", '{"QueueUrl":"q","Tags":{"a":{}}}'],
    ["with null in a list", "UntagQueue", '{"QueueUrl":"q","TagKeys":[null]}'],
    ["with a text for an entry", "DeleteMessageBatch", '{"QueueUrl":"q","Entries":["a"]}'],
    [
      "with bytes that are not base64",
      "SendMessage",
      '{"QueueUrl":"q","MessageBody":"b","MessageAttributes":{"a":{"BinaryValue":"*"}}}',
    ],
  ])("is refused when its body is %s", (_, action, body) => {
    expect(decodeJson(action, body)).toMatchObject({ ok: false, error: "SerializationException" });
  });

  it.each<[string, object, SqsErrorName, string]>([
    ["DeleteQueue", {}, "QueueDoesNotExist", "The specified queue does not exist."],
    [
      "CreateQueue",
      {},
      "InvalidParameterValue",
      "Value for parameter QueueName is invalid. Reason: Must specify a queue name.",
    ],
    ["SendMessage", { QueueUrl }, "MissingParameter", "The request must contain the parameter MessageBody."],
    ["SendMessageBatch", { QueueUrl }, "MissingParameter", "The request must contain the parameter Entries."],
    [
      "SetQueueAttributes",
      { QueueUrl },
      "MissingParameter",
      "The request must contain the parameter Attribute.Name.",
    ],
    [
      "DeleteMessageBatch",
      { QueueUrl, Entries: [{ Id: "a" }, {}] },
      "MissingParameter",
      "The request must contain the parameter DeleteMessageBatchRequestEntry.2.Id.",
    ],
  ])("of %s with %j misses something", (action, body, error, message) => {
    expect(decodeJson(action, body)).toEqual(sqsRefusal(error, message));
  });

  it("leaves to the action what fails one entry of a batch alone", () => {
    expect(inputOf(decodeJson("SendMessageBatch", { QueueUrl, Entries: [{ Id: "a" }] }))).toEqual({
      QueueUrl,
      Entries: [{ Id: "a" }],
    });
  });

  it.each(["NoSuchAction", "", "__proto__", "toString", "sendMessage"])(
    "of the action %j is unknown",
    (action) => {
      expect(decodeJson(action, {})).toEqual(
        sqsRefusal("InvalidAction", `The action ${action} is not valid for this endpoint.`),
      );
    },
  );

  it("has no more of anything than is read", () => {
    const TagKeys = Array.from({ length: ITEM_COUNT_MAX + 1 }, (_, index) => String(index));
    expect(decodeJson("UntagQueue", { QueueUrl, TagKeys })).toMatchObject({ error: "InvalidParameterValue" });
    expect(decodeJson("UntagQueue", { QueueUrl, TagKeys: TagKeys.slice(1) })).toMatchObject({ ok: true });
    const Tags = Object.fromEntries(TagKeys.map((key) => [key, ""]));
    expect(decodeJson("TagQueue", { QueueUrl, Tags })).toMatchObject({ error: "InvalidParameterValue" });
  });
});

describe("an answer in JSON", () => {
  it("says who it is for and of what type it is", async () => {
    const response = jsonWire.answer("GetQueueUrl", { QueueUrl }, "r-1");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/x-amz-json-1.0");
    expect(response.headers.get("x-amzn-requestid")).toBe("r-1");
    expect(await response.json()).toEqual({ QueueUrl });
  });

  it("has no body when the action gives nothing", async () => {
    expect(await jsonWire.answer("DeleteQueue", {}, "r-1").text()).toBe("");
  });

  it("leaves out lists and maps without anything in them", async () => {
    expect(await jsonWire.answer("ReceiveMessage", { Messages: [] }, "r-1").text()).toBe("{}");
    expect(await jsonWire.answer("ListQueueTags", { Tags: {} }, "r-1").text()).toBe("{}");
    const sent = jsonWire.answer("DeleteMessageBatch", { Successful: [{ Id: "a" }], Failed: [] }, "r-1");
    expect(await sent.text()).toBe('{"Successful":[{"Id":"a"}]}');
  });

  it("leaves out what the action does not give", async () => {
    const output = { QueueUrl, secret: "s" };
    expect(await jsonWire.answer("GetQueueUrl", output, "r-1").json()).toEqual({ QueueUrl });
  });
});

describe("a refusal in JSON", () => {
  it("names the error as this protocol and as the older one do", async () => {
    const response = jsonWire.refuse(sqsRefusal("QueueDoesNotExist", "No."), "r-1");
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toBe("application/x-amz-json-1.0");
    expect(response.headers.get("x-amzn-requestid")).toBe("r-1");
    expect(response.headers.get("x-amzn-query-error")).toBe("AWS.SimpleQueueService.NonExistentQueue;Sender");
    expect(await response.json()).toEqual({ __type: "com.amazonaws.sqs#QueueDoesNotExist", message: "No." });
  });

  it.each(Object.keys(SQS_ERRORS) as SqsErrorName[])("of %s has its status", (error) => {
    expect(jsonWire.refuse(sqsRefusal(error, "No."), "r-1").status).toBe(SQS_ERRORS[error].status);
  });
});
