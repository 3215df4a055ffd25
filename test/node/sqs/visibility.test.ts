/** Receipt handles: how long one counts, what it does, and when it is refused. */
import type { Message } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bodiesOf, invalidValue, missing, modelled, refusalOf, SqsBroker } from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
beforeAll(() => broker.start());
afterAll(() => broker.stop());

const FIFO = { FifoQueue: "true", ContentBasedDeduplication: "true" };

function remove(QueueUrl: string, { ReceiptHandle }: Pick<Message, "ReceiptHandle">) {
  return broker.sqs.deleteMessage({ QueueUrl, ReceiptHandle });
}

function change(
  QueueUrl: string,
  { ReceiptHandle }: Pick<Message, "ReceiptHandle">,
  VisibilityTimeout: number | undefined,
) {
  return broker.sqs.changeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout });
}

/** A queue with a message that was received, and whose time is over. */
async function expired(fifo: boolean): Promise<{ queue: string; message: Message }> {
  const queue = await broker.queue({ VisibilityTimeout: "0", ...(fifo ? FIFO : {}) });
  const group = fifo ? { MessageGroupId: "g" } : {};
  await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "a", ...group });
  return { queue, message: await broker.next(queue) };
}

async function received(
  attributes: Record<string, string> = {},
): Promise<{ queue: string; message: Message }> {
  const queue = await broker.queue(attributes);
  await broker.send(queue, "a");
  return { queue, message: await broker.next(queue) };
}

const counts = (queue: string) =>
  broker.attributes(queue, "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible");
const EMPTY = { ApproximateNumberOfMessages: "0", ApproximateNumberOfMessagesNotVisible: "0" };
const HIDDEN = { ApproximateNumberOfMessages: "0", ApproximateNumberOfMessagesNotVisible: "1" };

function notAvailable({ ReceiptHandle }: Message) {
  return invalidValue(
    `Value ${ReceiptHandle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.`,
  );
}

describe("DeleteMessage", () => {
  it("takes away what was received, and does so again without a word", async () => {
    const { queue, message } = await received();
    await remove(queue, message);
    expect(await counts(queue)).toEqual(EMPTY);
    await remove(queue, message);
  });

  it("counts on a standard queue when the time is over and nobody else has the message", async () => {
    const { queue, message } = await expired(false);
    await remove(queue, message);
    expect(await broker.receive(queue)).toEqual([]);
    expect(await counts(queue)).toEqual(EMPTY);
  });

  it("is refused on a FIFO queue when the time is over", async () => {
    const { queue, message } = await expired(true);
    expect(await refusalOf(remove(queue, message))).toEqual(
      invalidValue(
        `Value ${message.ReceiptHandle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.`,
      ),
    );
    expect(bodiesOf(await broker.receive(queue))).toEqual(["a"]);
  });

  it("takes away nothing by an old handle while another receiver has the message", async () => {
    const { queue, message } = await expired(false);
    const again = await broker.next(queue, { VisibilityTimeout: 600 });
    expect(again.ReceiptHandle).not.toBe(message.ReceiptHandle);
    await remove(queue, message);
    expect(await counts(queue)).toEqual(HIDDEN);
    await remove(queue, again);
    expect(await counts(queue)).toEqual(EMPTY);
  });

  it("takes away a message whose time was extended", async () => {
    for (const attributes of [{}, FIFO]) {
      const queue = await broker.queue({ VisibilityTimeout: "1", ...attributes });
      const group = "FifoQueue" in attributes ? { MessageGroupId: "g" } : {};
      await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "a", ...group });
      const message = await broker.next(queue, { VisibilityTimeout: 30 });
      await change(queue, message, 600);
      await remove(queue, message);
      expect(await counts(queue)).toEqual(EMPTY);
    }
  });
});

describe("ChangeMessageVisibility", () => {
  it("extends the time of one message, for this receive only", async () => {
    const queue = await broker.queue({ VisibilityTimeout: "1" });
    await broker.send(queue, "extended", "not");
    const [first] = await broker.receive(queue);
    await change(queue, first!, 600);
    expect(bodiesOf([await broker.next(queue)])).toEqual(["not"]);
    expect((await counts(queue))["ApproximateNumberOfMessagesNotVisible"]).not.toBe("0");
    await change(queue, first!, 0);
    expect((await broker.next(queue)).Body).toBeDefined();
    expect((await broker.next(queue)).Body).toBeDefined();
    expect((await broker.next(queue)).Body).toBeDefined();
  });

  it("to 0 gives the message back at once", async () => {
    const { queue, message } = await received();
    expect(await broker.receive(queue)).toEqual([]);
    await change(queue, message, 0);
    const [again] = await broker.receive(queue, { MessageSystemAttributeNames: ["All"] });
    expect(again).toMatchObject({ Body: "a", Attributes: { ApproximateReceiveCount: "2" } });
  });

  it("hides a message again on a standard queue when the time is over", async () => {
    const { queue, message } = await expired(false);
    await change(queue, message, 600);
    expect(await broker.receive(queue)).toEqual([]);
    expect(await counts(queue)).toEqual(HIDDEN);
    await remove(queue, message);
    expect(await counts(queue)).toEqual(EMPTY);
  });

  it("acts by an older handle on a message that was received again, and the newer one stays good", async () => {
    const { queue, message } = await expired(false);
    const again = await broker.next(queue, { VisibilityTimeout: 600 });
    await change(queue, message, 900);
    expect(await counts(queue)).toEqual(HIDDEN);
    await change(queue, message, 0);
    const [third] = await broker.receive(queue, { VisibilityTimeout: 600 });
    expect(third).toMatchObject({ Body: "a" });
    await change(queue, again, 900);
    await remove(queue, third!);
    expect(await counts(queue)).toEqual(EMPTY);
  });

  it("is refused by an older handle on a FIFO queue", async () => {
    const { queue, message } = await expired(true);
    const again = await broker.next(queue, { VisibilityTimeout: 600 });
    expect(await refusalOf(change(queue, message, 60))).toEqual(notAvailable(message));
    await remove(queue, again);
    expect(await counts(queue)).toEqual(EMPTY);
  });

  it("is refused for a message that was deleted", async () => {
    const { queue, message } = await received();
    await remove(queue, message);
    for (const seconds of [0, 60]) {
      expect(await refusalOf(change(queue, message, seconds))).toEqual(notAvailable(message));
    }
  });

  it("is refused on a FIFO queue when the time is over", async () => {
    const { queue, message } = await expired(true);
    expect(await refusalOf(change(queue, message, 60))).toMatchObject({
      code: "InvalidParameterValue",
      status: 400,
    });
    expect(bodiesOf(await broker.receive(queue))).toEqual(["a"]);
  });

  it("is refused beyond twelve hours from the receive, where the time then ends", async () => {
    const { queue, message } = await received();
    expect(await refusalOf(change(queue, message, 43_200))).toEqual(
      invalidValue(
        "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
      ),
    );
    expect(await counts(queue)).toEqual(HIDDEN);
    await change(queue, message, 0);
    expect(bodiesOf(await broker.receive(queue))).toEqual(["a"]);
  });

  it("takes a number from 0 to 43200", async () => {
    const { queue, message } = await received();
    for (const seconds of [-1, 43_201]) {
      expect(await refusalOf(change(queue, message, seconds))).toMatchObject(
        invalidValue(
          expect.stringMatching(`^Value ${seconds} for parameter VisibilityTimeout is invalid. Reason: `),
        ),
      );
    }
    expect(await refusalOf(change(queue, message, undefined))).toEqual(missing("VisibilityTimeout"));
  });
});

describe("a receipt handle", () => {
  it("is new with each receive", async () => {
    const { queue, message } = await expired(false);
    const handles = new Set([message.ReceiptHandle]);
    for (let i = 0; i < 3; i++) handles.add((await broker.next(queue)).ReceiptHandle);
    expect(handles.size).toBe(4);
  });

  it("that is none is refused, and so is one of another queue", async () => {
    const queue = await broker.queue();
    const { message } = await received();
    for (const ReceiptHandle of ["garbage", "AAAA", message.ReceiptHandle!]) {
      const refusal = modelled(
        "ReceiptHandleIsInvalid",
        `The input receipt handle "${ReceiptHandle}" is not a valid receipt handle.`,
        404,
      );
      expect(await refusalOf(remove(queue, { ReceiptHandle }))).toEqual(refusal);
      expect(await refusalOf(change(queue, { ReceiptHandle }, 60))).toEqual(refusal);
    }
  });

  it("of a deleted queue does nothing to a later queue of the name", async () => {
    const { queue, message } = await received();
    const name = queue.split("/").at(-1)!;
    await broker.sqs.deleteQueue({ QueueUrl: queue });
    await broker.sqs.createQueue({ QueueName: name });
    await broker.send(queue, "b");
    const later = await broker.next(queue, { VisibilityTimeout: 600 });
    const text = (handle: string) => Buffer.from(handle, "base64").toString().split(" ");
    // Whatever leases the two queues gave, by chance the same.
    const [, receipt] = text(later.ReceiptHandle!);
    const [, , origin] = text(message.ReceiptHandle!);
    const ReceiptHandle = Buffer.from(`${name} ${receipt} ${origin}`).toString("base64");
    await remove(queue, { ReceiptHandle });
    expect(await refusalOf(change(queue, { ReceiptHandle }, 0))).toEqual(notAvailable({ ReceiptHandle }));
    expect(await counts(queue)).toEqual(HIDDEN);
    await remove(queue, later);
    expect(await counts(queue)).toEqual(EMPTY);
  });

  it("that is missing is told so", async () => {
    const queue = await broker.queue();
    for (const ReceiptHandle of [undefined, ""]) {
      expect(await refusalOf(remove(queue, { ReceiptHandle }))).toEqual(missing("ReceiptHandle"));
      expect(await refusalOf(change(queue, { ReceiptHandle }, 60))).toEqual(missing("ReceiptHandle"));
    }
  });
});

describe("a received message", () => {
  it("is hidden as long as the receive says", async () => {
    const queue = await broker.queue();
    await broker.send(queue, "a");
    await broker.receive(queue, { VisibilityTimeout: 1 });
    expect(await broker.receive(queue)).toEqual([]);
    expect((await broker.next(queue)).Body).toBe("a");
    expect(await broker.receive(queue)).toEqual([]);
  });

  it("is not hidden at all with a timeout of 0", async () => {
    const queue = await broker.queue();
    await broker.send(queue, "a");
    const wish = { VisibilityTimeout: 0, MessageSystemAttributeNames: ["ApproximateReceiveCount" as const] };
    for (const ApproximateReceiveCount of ["1", "2", "3"]) {
      const [message] = await broker.receive(queue, wish);
      expect(message!.Attributes).toEqual({ ApproximateReceiveCount });
    }
  });
});
