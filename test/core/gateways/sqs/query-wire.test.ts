// AWS Query: the ways in which parameters are written, what is refused and how, and the XML of answers.
import { describe, expect, it } from "vitest";
import { sqsRefusal, type SqsErrorName } from "../../../../src/gateways/sqs/errors.ts";
import { PARAMETER_COUNT_MAX } from "../../../../src/gateways/sqs/query-parameters.ts";
import { queryWire } from "../../../../src/gateways/sqs/query-wire.ts";
import { decodeForm, decodeGet, inputOf, ORIGIN } from "../../../support/sqs-requests.ts";

const read = (form: string): object => inputOf(decodeForm(`QueueUrl=q&${form}`));

describe("a call in Query", () => {
  it("is an action with its input", () => {
    expect(decodeForm("Action=DeleteMessage&Version=2012-11-05&QueueUrl=q&ReceiptHandle=h")).toEqual({
      ok: true,
      value: { action: "DeleteMessage", input: { QueueUrl: "q", ReceiptHandle: "h" } },
    });
  });

  it("may be a query string alone, among what signs it", () => {
    const call = decodeGet(
      "/?Action=ListQueues&Version=2012-11-05&QueueNamePrefix=a+b&X-Amz-Signature=0&AWSAccessKeyId=k&Timestamp=t",
    );
    expect(inputOf(call)).toEqual({ QueueNamePrefix: "a b" });
  });

  it("may say part of itself in the query string and part in the form", () => {
    const call = decodeForm("QueueNamePrefix=a", "/?Action=ListQueues&MaxResults=2");
    expect(inputOf(call)).toEqual({ QueueNamePrefix: "a", MaxResults: 2 });
  });

  it.each([
    ["%41%C3%A9%F0%9F%98%80", "Aé😀"],
    ["a+b%2Bc%20d", "a b+c d"],
    ["é", "é"],
    ["a%3Db%26c", "a=b&c"],
    ["a=b", "a=b"],
    ["", ""],
    ["%00%0D", "\0\r"],
  ])("reads the text %j", (escaped, text) => {
    expect(inputOf(decodeForm(`Action=SendMessage&QueueUrl=q&MessageBody=${escaped}`))).toMatchObject({
      MessageBody: text,
    });
  });

  it.each([
    ["names", "GetQueueAttributes", "AttributeName.2=b&AttributeName.1=a", { AttributeNames: ["a", "b"] }],
    [
      "names in a list that is not flat",
      "GetQueueAttributes",
      "AttributeNames.member.1=a",
      { AttributeNames: ["a"] },
    ],
    ["one name alone", "GetQueueAttributes", "AttributeName=All", { AttributeNames: ["All"] }],
    ["an empty list", "GetQueueAttributes", "AttributeNames=", { AttributeNames: [] }],
    [
      "ten names and more",
      "GetQueueAttributes",
      "AttributeName.10=j&AttributeName.9=i",
      { AttributeNames: ["i", "j"] },
    ],
    [
      "positions that are far apart",
      "GetQueueAttributes",
      "AttributeName.999999999=a",
      { AttributeNames: ["a"] },
    ],
    [
      "positions that are none",
      "GetQueueAttributes",
      "AttributeName.0=a&AttributeName.01=b&AttributeName.x=c",
      { AttributeNames: [] },
    ],
    [
      "attributes",
      "SetQueueAttributes",
      "Attribute.1.Name=a&Attribute.1.Value=1",
      { Attributes: { a: "1" } },
    ],
    [
      "one attribute alone",
      "SetQueueAttributes",
      "Attribute.Name=a&Attribute.Value=1",
      { Attributes: { a: "1" } },
    ],
    [
      "attributes in a map that is not flat",
      "SetQueueAttributes",
      "Attributes.entry.1.key=a&Attributes.entry.1.value=1",
      { Attributes: { a: "1" } },
    ],
    ["tags", "TagQueue", "Tag.1.Key=a&Tag.1.Value=&Tag.2.Key=b&Tag.2.Value=2", { Tags: { a: "", b: "2" } }],
    ["keys of tags", "UntagQueue", "TagKey.1=a&TagKey.2=b", { TagKeys: ["a", "b"] }],
    [
      "the newer name",
      "ReceiveMessage",
      "MessageSystemAttributeName.1=All",
      { MessageSystemAttributeNames: ["All"] },
    ],
    [
      "a permission",
      "AddPermission",
      "Label=l&AWSAccountId.1=1&ActionName.1=SendMessage",
      { Label: "l", AWSAccountIds: ["1"], Actions: ["SendMessage"] },
    ],
    [
      "bytes",
      "SendMessage",
      "MessageBody=b&MessageAttribute.1.Name=n&MessageAttribute.1.Value.BinaryValue=AAE%3D",
      { MessageBody: "b", MessageAttributes: { n: { BinaryValue: Uint8Array.of(0, 1) } } },
    ],
    [
      "an attribute without a value",
      "SendMessage",
      "MessageBody=b&MessageAttribute.1.Name=n",
      { MessageBody: "b", MessageAttributes: { n: {} } },
    ],
    ["a batch without entries", "SendMessageBatch", "", { Entries: [] }],
    [
      "the first of two values",
      "ReceiveMessage",
      "WaitTimeSeconds=1&WaitTimeSeconds=2",
      { WaitTimeSeconds: 1 },
    ],
    ["names that are too deep for anything", "ReceiveMessage", `a.${"b.".repeat(5_000)}c=1`, {}],
  ])("reads %s", (_, action, form, input) => {
    expect(read(`Action=${action}&${form}`)).toEqual({ QueueUrl: "q", ...input });
  });

  it("has keys of maps that are like any other, whatever they are called", () => {
    const form = "Action=TagQueue&Tag.1.Key=__proto__&Tag.1.Value=a&Tag.2.Key=constructor&Tag.2.Value=b";
    const { Tags } = read(form) as { Tags: object };
    expect(Object.entries(Tags)).toEqual([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
    expect(Object.getPrototypeOf(Tags)).toBe(Object.prototype);
  });

  it("takes names of members for nothing else", () => {
    const form = "Action=ReceiveMessage&__proto__=1&__proto__.polluted=1&constructor.prototype.polluted=1";
    expect(read(form)).toEqual({ QueueUrl: "q" });
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });
});

describe("a call to a queue's own URL", () => {
  it("is for that queue", () => {
    expect(inputOf(decodeGet("/123456789012/q.fifo?Action=PurgeQueue"))).toEqual({
      QueueUrl: `${ORIGIN}/123456789012/q.fifo`,
    });
    expect(inputOf(decodeForm("Action=PurgeQueue", "/1/q"))).toEqual({ QueueUrl: `${ORIGIN}/1/q` });
  });

  it("is for the queue that it names, when it names one", () => {
    expect(inputOf(decodeForm("Action=PurgeQueue&QueueUrl=other", "/1/q"))).toEqual({ QueueUrl: "other" });
  });

  it("is for no queue when the action has none", () => {
    expect(inputOf(decodeForm("Action=GetQueueUrl&QueueName=n", "/1/q"))).toEqual({ QueueName: "n" });
  });

  it.each(["CreateQueue", "ListQueues"])("cannot be %s", (action) => {
    expect(decodeForm(`Action=${action}&QueueName=n`, "/1/q")).toEqual(
      sqsRefusal("InvalidAction", `The action ${action} is not valid for this endpoint.`),
    );
  });

  it.each(["/", "/q", "/1/2/q"])("is told apart from one to %s", (path) => {
    expect(decodeForm("Action=PurgeQueue", path)).toEqual(
      sqsRefusal("InvalidAddress", `The address ${ORIGIN}${path} is not valid for this endpoint.`),
    );
  });
});

describe("a call in Query is refused", () => {
  it.each<[string, string, SqsErrorName, string]>([
    ["without an action", "QueueUrl=q", "MissingAction", "The request must contain the parameter Action."],
    ["with an empty action", "Action=", "MissingAction", "The request must contain the parameter Action."],
    [
      "with an unknown action",
      "Action=FooBar",
      "InvalidAction",
      "The action FooBar is not valid for this endpoint.",
    ],
    [
      "with an action that every object has",
      "Action=toString",
      "InvalidAction",
      "The action toString is not valid for this endpoint.",
    ],
    [
      "without a body of a message",
      "Action=SendMessage&QueueUrl=q",
      "MissingParameter",
      "The request must contain the parameter MessageBody.",
    ],
    [
      "without the name of a queue",
      "Action=CreateQueue",
      "InvalidParameterValue",
      "Value for parameter QueueName is invalid. Reason: Must specify a queue name.",
    ],
    [
      "without attributes",
      "Action=SetQueueAttributes&QueueUrl=q",
      "MissingParameter",
      "The request must contain the parameter Attribute.Name.",
    ],
    [
      "with an entry that has no id",
      "Action=DeleteMessageBatch&QueueUrl=q&DeleteMessageBatchRequestEntry.1.ReceiptHandle=h",
      "MissingParameter",
      "The request must contain the parameter DeleteMessageBatchRequestEntry.1.Id.",
    ],
    [
      "with an attribute that has no name",
      "Action=SetQueueAttributes&QueueUrl=q&Attribute.1.Value=1",
      "MissingParameter",
      "The request must contain the parameter Attribute.1.Name.",
    ],
    [
      "with a tag that has no value",
      "Action=TagQueue&QueueUrl=q&Tag.1.Key=a",
      "MissingParameter",
      "The request must contain the parameter Tag.1.Value.",
    ],
    [
      "with a tree where a text belongs",
      "Action=PurgeQueue&QueueUrl.1=q",
      "InvalidAddress",
      `The address ${ORIGIN}/ is not valid for this endpoint.`,
    ],
    [
      "with one key twice",
      "Action=TagQueue&QueueUrl=q&Tag.1.Key=a&Tag.1.Value=1&Tag.2.Key=a&Tag.2.Value=2",
      "InvalidParameterValue",
      "Value a for parameter Tag.2.Key is invalid. Reason: Already exists.",
    ],
  ])("%s", (_, form, error, message) => {
    expect(decodeForm(form)).toEqual(sqsRefusal(error, message));
  });

  it.each([
    "2147483648",
    "-2147483649",
    "99999999999999999999",
    "1.5",
    "1e3",
    "0x1",
    "",
    "%20",
    "Infinity",
    "NaN",
  ])("with the integer %j", (text) => {
    const call = decodeForm(`Action=ReceiveMessage&QueueUrl=q&VisibilityTimeout=${text}`);
    expect(call).toMatchObject({ ok: false, error: "InvalidParameterValue" });
  });

  it("with bytes that are not base64", () => {
    const attribute = "MessageAttribute.1.Name=n&MessageAttribute.1.Value.BinaryValue=*";
    expect(decodeForm(`Action=SendMessage&QueueUrl=q&MessageBody=b&${attribute}`)).toMatchObject({
      error: "InvalidParameterValue",
    });
  });

  it.each(["%", "%4", "%zz", "%FF", "%C3", "%C0%80", "%ED%A0%80", "%F4%90%80%80"])(
    "with the escape %s",
    (escape) => {
      expect(decodeForm(`Action=PurgeQueue&QueueUrl=${escape}`)).toMatchObject({
        error: "MalformedQueryString",
      });
      expect(decodeForm(`Action=PurgeQueue&${escape}=q`)).toMatchObject({ error: "MalformedQueryString" });
    },
  );

  it("with bytes that are not UTF-8", () => {
    expect(decodeForm(Uint8Array.of(0x41, 0x3d, 0xff))).toMatchObject({ error: "MalformedQueryString" });
  });

  it("with more parameters than are read", () => {
    const form = (count: number): string => `Action=ListQueues${"&a=1".repeat(count - 1)}`;
    expect(decodeForm(form(PARAMETER_COUNT_MAX))).toMatchObject({ ok: true });
    expect(decodeForm(form(PARAMETER_COUNT_MAX + 1))).toMatchObject({ error: "MalformedQueryString" });
  });
});

const HEAD = '<?xml version="1.0"?>';
const XMLNS = 'xmlns="http://queue.amazonaws.com/doc/2012-11-05/"';
const METADATA = "<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>";

describe("an answer in Query", () => {
  it("says who it is for and of what type it is", () => {
    const response = queryWire.answer("GetQueueUrl", { QueueUrl: "q" }, "r-1");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/xml");
    expect(response.headers.get("x-amzn-requestid")).toBe("r-1");
  });

  it("has flat lists and maps under the names of the older model", async () => {
    const message = {
      MessageId: "m",
      ReceiptHandle: "h",
      MD5OfBody: "d",
      Body: "a<b\r\n",
      Attributes: { SenderId: "s" },
      MessageAttributes: { n: { DataType: "Binary", BinaryValue: Uint8Array.of(0, 1) } },
    };
    expect(await queryWire.answer("ReceiveMessage", { Messages: [message, message] }, "r-1").text()).toBe(
      `${HEAD}<ReceiveMessageResponse ${XMLNS}><ReceiveMessageResult>` +
        (
          "<Message><MessageId>m</MessageId><ReceiptHandle>h</ReceiptHandle><MD5OfBody>d</MD5OfBody>" +
          "<Body>a&lt;b&#xD;\n</Body><Attribute><Name>SenderId</Name><Value>s</Value></Attribute>" +
          "<MessageAttribute><Name>n</Name><Value><BinaryValue>AAE=</BinaryValue><DataType>Binary</DataType></Value>" +
          "</MessageAttribute></Message>"
        ).repeat(2) +
        `</ReceiveMessageResult>${METADATA}</ReceiveMessageResponse>`,
    );
  });

  it("has an empty result when there is nothing to tell", async () => {
    expect(await queryWire.answer("ReceiveMessage", {}, "r-1").text()).toBe(
      `${HEAD}<ReceiveMessageResponse ${XMLNS}><ReceiveMessageResult/>${METADATA}</ReceiveMessageResponse>`,
    );
  });

  it("has no result when the action gives nothing", async () => {
    expect(await queryWire.answer("DeleteQueue", {}, "r-1").text()).toBe(
      `${HEAD}<DeleteQueueResponse ${XMLNS}>${METADATA}</DeleteQueueResponse>`,
    );
  });
});

describe("a refusal in Query", () => {
  it("is an error with its code and whose fault it is", async () => {
    const response = queryWire.refuse(sqsRefusal("EmptyBatchRequest", "No <entries>."), "r-1");
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toBe("text/xml");
    expect(response.headers.get("x-amzn-requestid")).toBe("r-1");
    expect(await response.text()).toBe(
      `${HEAD}<ErrorResponse ${XMLNS}><Error><Type>Sender</Type>` +
        "<Code>AWS.SimpleQueueService.EmptyBatchRequest</Code><Message>No &lt;entries&gt;.</Message><Detail/></Error>" +
        "<RequestId>r-1</RequestId></ErrorResponse>",
    );
  });

  it("of a queue that is not there says what this protocol always said", async () => {
    const refusal = sqsRefusal("QueueDoesNotExist", "The specified queue does not exist.");
    expect(await queryWire.refuse(refusal, "r-1").text()).toContain(
      "<Message>The specified queue does not exist for this wsdl version.</Message>",
    );
  });
});
