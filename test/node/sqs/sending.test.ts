/** Sending to SQS: MD5s, sizes, characters, delays, message attributes and system attributes. */
import type { MessageAttributeValue, SendMessageRequest } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  bodiesOf,
  invalidValue,
  missing,
  modelled,
  refusalOf,
  SqsBroker,
  type Told,
} from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
let queue: string;
beforeAll(async () => {
  await broker.start();
  queue = await broker.queue();
});
afterAll(() => broker.stop());

function send(wish: Omit<SendMessageRequest, "QueueUrl" | "MessageBody"> & { MessageBody?: string } = {}) {
  return broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "message", ...wish });
}

function text(StringValue: string, DataType = "String"): MessageAttributeValue {
  return { DataType, StringValue };
}

function binary(bytes: string | readonly number[], DataType = "Binary"): MessageAttributeValue {
  const BinaryValue = typeof bytes === "string" ? new TextEncoder().encode(bytes) : Uint8Array.from(bytes);
  return { DataType, BinaryValue };
}

async function refused(name: string, value: MessageAttributeValue): Promise<Told> {
  return refusalOf(send({ MessageAttributes: { [name]: value } }));
}

const MIB = 1_048_576;
const TOO_LONG = `One or more parameters are invalid. Reason: Message must be shorter than ${MIB} bytes.`;

describe("SendMessage", () => {
  it("answers with an id and the body's MD5, and with nothing that there is not", async () => {
    const { $metadata: _, MessageId, ...rest } = await send();
    expect(MessageId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(rest).toEqual({ MD5OfMessageBody: "78e731027d8fd50ed642340b7c9a63b3" });
  });

  it("gives each message an id of its own, by which it is received", async () => {
    const own = await broker.queue();
    const sent = [];
    for (const MessageBody of ["a", "b"]) {
      sent.push((await broker.sqs.sendMessage({ QueueUrl: own, MessageBody })).MessageId);
    }
    expect(new Set(sent).size).toBe(2);
    expect((await broker.receive(own)).map(({ MessageId }) => MessageId)).toEqual(sent);
  });

  it("carries any text that XML could, as it is", async () => {
    const own = await broker.queue();
    const bodies = ['hé\n<x>&"&quot;\r\n', "\t \uFFFD", "\u{1F600}\u{10FFFF}", " ", "null"];
    await broker.send(own, ...bodies);
    expect(bodiesOf(await broker.receive(own))).toEqual(bodies);
  });

  it("refuses a body with other characters", async () => {
    for (const character of ["\0", "\b", "\u001F", "\uD800", "\uFFFE", "\uFFFF"]) {
      expect(await refusalOf(send({ MessageBody: `a${character}` }))).toEqual(
        modelled(
          "InvalidMessageContents",
          "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        ),
      );
    }
  });

  it("refuses a body of nothing", async () => {
    for (const MessageBody of ["", undefined]) {
      const call = broker.sqs.sendMessage({ QueueUrl: queue, MessageBody });
      expect(await refusalOf(call)).toEqual(missing("MessageBody"));
    }
  });
});

describe("a message's size", () => {
  it("may be 1 MiB", async () => {
    const own = await broker.queue();
    // Two bytes a character.
    const MessageBody = "é".repeat(MIB / 2);
    await broker.sqs.sendMessage({ QueueUrl: own, MessageBody });
    const [message] = await broker.receive(own);
    expect(message?.Body === MessageBody).toBe(true);
  });

  it("is refused over 1 MiB", async () => {
    for (const MessageBody of ["x".repeat(MIB + 1), "é".repeat(MIB / 2) + "x"]) {
      expect(await refusalOf(send({ MessageBody }))).toEqual(invalidValue(TOO_LONG));
    }
  });

  it("counts names, types and values of attributes", async () => {
    // 2 + 6 + 2 bytes beside the body
    const MessageAttributes = { ab: text("cd") };
    await send({ MessageBody: "x".repeat(MIB - 10), MessageAttributes });
    const over = send({ MessageBody: "x".repeat(MIB - 9), MessageAttributes });
    expect(await refusalOf(over)).toEqual(invalidValue(TOO_LONG));
  });

  it("may lie in attributes of several 100 KB", async () => {
    const own = await broker.queue();
    const MessageAttributes = {
      "large.text": text("é".repeat(150_000), "String.long"),
      small: text("s"),
      "large.bytes": binary(Array.from({ length: 400_000 }, (_, i) => i % 256)),
      "large.number": text(`1${"0".repeat(100)}`, "Number.big"),
    };
    const sent = await broker.sqs.sendMessage({ QueueUrl: own, MessageBody: "small", MessageAttributes });
    // The client compares the MD5 of what it gets.
    const [message] = await broker.receive(own, { MessageAttributeNames: ["All"] });
    expect(message?.Body).toBe("small");
    expect(message?.MD5OfMessageAttributes).toBe(sent.MD5OfMessageAttributes);
    for (const [name, value] of Object.entries(MessageAttributes)) {
      const { DataType, StringValue, BinaryValue } = message!.MessageAttributes![name]!;
      expect(DataType).toBe(value.DataType);
      expect(StringValue === value.StringValue).toBe(true);
      expect(Buffer.compare(BinaryValue ?? Buffer.of(), value.BinaryValue ?? Buffer.of())).toBe(0);
    }
  });
});

describe("DelaySeconds", () => {
  it("keeps a message back", async () => {
    const own = await broker.queue();
    await broker.sqs.sendMessage({ QueueUrl: own, MessageBody: "later", DelaySeconds: 1 });
    await broker.sqs.sendMessage({ QueueUrl: own, MessageBody: "much later", DelaySeconds: 900 });
    expect(await broker.receive(own)).toEqual([]);
    expect((await broker.next(own)).Body).toBe("later");
  });

  it("is refused out of 0 to 900", async () => {
    for (const DelaySeconds of [-1, 901]) {
      expect(await refusalOf(send({ DelaySeconds }))).toEqual(
        invalidValue(
          `Value ${DelaySeconds} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.`,
        ),
      );
    }
  });
});

describe("message attributes", () => {
  it("have the MD5 that SQS gives", async () => {
    const vectors: readonly [Record<string, MessageAttributeValue>, string][] = [
      [{ k: text("x") }, "a45daa70926828a2f0a1db3418e6feb4"],
      [{ Hello: text("There"), General: text("Kenobi") }, "fca026605781cb4126a1e9044df24232"],
      [{ Hello: text("There"), "Help.Me": text("Me") }, "83fee93c1bcd8b9a5a923ffacdc636c7"],
      [{ timestamp: text("1493147359900", "Number") }, "235c5c510d26fb653d073faed50ae77c"],
      [
        { color: text("blue"), count: text("3", "Number"), blob: binary([1, 2, 3]) },
        "d838729972a4b70e2d2acd9d59ac847c",
      ],
    ];
    for (const [MessageAttributes, md5] of vectors) {
      expect((await send({ MessageAttributes })).MD5OfMessageAttributes).toBe(md5);
    }
  });

  it("come back with their types, also with types of the sender's own", async () => {
    const own = await broker.queue();
    const MessageAttributes = {
      string: text("a\r\n<b>"),
      "string.own": text("b", "String.foo"),
      number: text("-1.50e3", "Number"),
      "number.own": text("12345678901234567890123456789012345678", "Number.bigint"),
      bytes: binary([0, 255]),
      "bytes.own": binary([7], "Binary.png"),
      "with-hyphen_1": text("c"),
      "øß.ä": text("d"),
    };
    await broker.sqs.sendMessage({ QueueUrl: own, MessageBody: "a", MessageAttributes });
    const [message] = await broker.receive(own, { MessageAttributeNames: ["All"] });
    expect(message!.MessageAttributes).toEqual(MessageAttributes);
  });

  it("are at most ten", async () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, text("v")]));
    await send({ MessageAttributes: many(10) });
    expect(await refusalOf(send({ MessageAttributes: many(11) }))).toEqual(
      invalidValue("Number of message attributes [11] exceeds the allowed maximum [10]."),
    );
  });

  it("have a type that there is, and a value of it", async () => {
    const some = (message: string) => invalidValue(message);
    expect(await refused("a", text(""))).toEqual(
      some("Message (user) attribute 'a' must contain a non-empty value of type 'String'."),
    );
    expect(await refused("a", { DataType: "String" })).toEqual(
      some("The message (user) attribute 'a' must contain a non-empty message attribute value."),
    );
    expect(await refused("a", { DataType: undefined, StringValue: "v" })).toEqual(
      some("The message (user) attribute 'a' must contain a non-empty message attribute type."),
    );
    expect(await refused("a", text("v", "invalid"))).toEqual(
      some(
        "The type of message (user) attribute 'a' is invalid. You must use only the following supported type prefixes: Binary, Number, String.",
      ),
    );
    expect(await refused("a", { ...text("v"), ...binary([1], "String") })).toEqual(
      some("Message (user) attribute 'a' must have a single value."),
    );
    expect(await refused("a", text("v", "Binary"))).toEqual(
      some("Message (user) attribute 'a' with type 'Binary' must use field 'Binary'."),
    );
    expect(await refused("a", binary([1], "Number"))).toEqual(
      some("Message (user) attribute 'a' with type 'Number' must use field 'String'."),
    );
    expect(await refused("a", text("x1", "Number"))).toEqual(
      some("Can't cast the value of message (user) attribute 'a' to a number."),
    );
    expect(await refused("a", text("v\b"))).toMatchObject({ code: "InvalidParameterValue", status: 400 });
  });

  it("have names of letters, digits, dots, hyphens and underscores", async () => {
    const reserved =
      "You can't use message attribute names beginning with 'AWS.' or 'Amazon'. These strings are reserved for internal use.";
    const refusals = {
      ".a": "Message (user) attribute name must not begin with character '.'.",
      "a.": "Message (user) attribute name must not end with character '.'.",
      "a..b": "Message (user) attribute name must not have successive '.' characters.",
      "": "The request must contain non-empty message (user) attribute names.",
      "AWS.a": reserved,
      "aws.a": reserved,
      "Amazon.a": reserved,
    };
    for (const [name, message] of Object.entries(refusals)) {
      expect(await refused(name, text("v")), name).toEqual(invalidValue(message));
    }
    for (const name of ["a b", "a!", "a(", "a?", 'a"']) {
      expect(await refused(name, text("v")), name).toMatchObject({ code: "InvalidParameterValue" });
    }
  });

  it("have names and types of 255 bytes at most", async () => {
    const longest = { ["é".repeat(127) + "x"]: text("v", `String.${"x".repeat(248)}`) };
    await send({ MessageAttributes: longest });
    for (const name of ["x".repeat(256), "é".repeat(128)]) {
      expect(await refused(name, text("v"))).toEqual(
        invalidValue("Message (user) attribute name must be shorter than 256 bytes."),
      );
    }
    expect(await refused("a", text("v", `String.${"x".repeat(249)}`))).toEqual(
      invalidValue("Message (user) attribute type must be shorter than 256 bytes."),
    );
  });

  it("are no lists", async () => {
    const refusal = modelled(
      "UnsupportedOperation",
      "Message attribute list values in SendMessage operation are not supported.",
      400,
      "AWS.SimpleQueueService.UnsupportedOperation",
    );
    expect(await refused("a", { DataType: "String", StringListValues: ["v"] })).toEqual(refusal);
    expect(await refused("a", { DataType: "Binary", BinaryListValues: [Buffer.of(1)] })).toEqual(refusal);
  });
});

describe("the system attribute AWSTraceHeader", () => {
  const TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

  it("goes with a message, with an MD5 of its own", async () => {
    const own = await broker.queue();
    const {
      $metadata: _,
      MessageId,
      ...sent
    } = await broker.sqs.sendMessage({
      QueueUrl: own,
      MessageBody: "message",
      MessageAttributes: { k: text("x") },
      MessageSystemAttributes: { AWSTraceHeader: text(TRACE) },
    });
    expect(sent).toEqual({
      MD5OfMessageBody: "78e731027d8fd50ed642340b7c9a63b3",
      MD5OfMessageAttributes: "a45daa70926828a2f0a1db3418e6feb4",
      MD5OfMessageSystemAttributes: "5ae4d5d7636402d80f4eb6d213245a88",
    });
    const wish = {
      MessageSystemAttributeNames: ["AWSTraceHeader" as const],
      MessageAttributeNames: ["All"],
    };
    const [message] = await broker.receive(own, wish);
    expect(message).toMatchObject({ MessageId, Attributes: { AWSTraceHeader: TRACE } });
    expect(Object.keys(message!.MessageAttributes!)).toEqual(["k"]);
  });

  it("is taken from the request's X-Amzn-Trace-Id", async () => {
    const own = await broker.queue();
    const client = broker.client();
    client.middlewareStack.add(
      (next) => (args) => {
        (args.request as { headers: Record<string, string> }).headers["X-Amzn-Trace-Id"] = TRACE;
        return next(args);
      },
      { step: "build" },
    );
    const sent = await client.sendMessage({ QueueUrl: own, MessageBody: "message" });
    expect(sent).not.toHaveProperty("MD5OfMessageSystemAttributes");
    const [message] = await broker.receive(own, { MessageSystemAttributeNames: ["AWSTraceHeader"] });
    expect(message!.Attributes).toEqual({ AWSTraceHeader: TRACE });
  });

  it("is the only one that may be sent", async () => {
    const other = { Hello: text("x") } as object;
    expect(await refusalOf(send({ MessageSystemAttributes: other }))).toEqual(
      invalidValue("Message system attribute name 'Hello' is invalid."),
    );
    const bytes = { AWSTraceHeader: binary([1]) };
    expect(await refusalOf(send({ MessageSystemAttributes: bytes }))).toMatchObject({
      code: "InvalidParameterValue",
    });
  });
});

describe("ids of groups on a standard queue", () => {
  it("come back as a system attribute, and make nothing wait", async () => {
    const own = await broker.queue();
    for (const MessageBody of ["a", "b"]) {
      const sent = await broker.sqs.sendMessage({ QueueUrl: own, MessageBody, MessageGroupId: "g" });
      expect(sent).not.toHaveProperty("SequenceNumber");
    }
    for (const Body of ["a", "b"]) {
      const wish = { MaxNumberOfMessages: 1, MessageSystemAttributeNames: ["MessageGroupId" as const] };
      const [message] = await broker.receive(own, wish);
      expect(message).toMatchObject({ Body, Attributes: { MessageGroupId: "g" } });
    }
  });

  it("have the same characters as those of FIFO queues", async () => {
    for (const id of ["", "a b", "ü", "x".repeat(129)]) {
      expect(await refusalOf(send({ MessageGroupId: id }))).toEqual(
        invalidValue(
          `Value ${id} for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.`,
        ),
      );
    }
  });

  it("go without ids of duplicates", async () => {
    expect(await refusalOf(send({ MessageDeduplicationId: "d" }))).toEqual(
      invalidValue(
        "Value d for parameter MessageDeduplicationId is invalid. Reason: The request include parameter that is not valid for this queue type.",
      ),
    );
  });
});
