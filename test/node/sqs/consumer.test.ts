/** sqs-consumer, as its users run it. */
import type { Message } from "@aws-sdk/client-sqs";
import { Consumer, type ConsumerOptions } from "sqs-consumer";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { bodiesOf, SqsBroker } from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
const consumers: Consumer[] = [];
beforeAll(() => broker.start());
afterEach(() => {
  for (const consumer of consumers.splice(0)) consumer.stop({ abort: true });
});
afterAll(() => broker.stop());

interface Running {
  readonly consumer: Consumer;
  /** Bodies of what was taken away, in this order. */
  readonly processed: string[];
  readonly errors: Error[];
}

function consume(queueUrl: string, options: Partial<ConsumerOptions>): Running {
  const consumer = Consumer.create({
    queueUrl,
    sqs: broker.sqs,
    suppressFifoWarning: true,
    ...options,
  });
  const running: Running = { consumer, processed: [], errors: [] };
  consumer.on("message_processed", ({ Body }) => void running.processed.push(Body!));
  for (const event of ["error", "processing_error", "timeout_error"] as const) {
    consumer.on(event, (...[error]) => void running.errors.push(error));
  }
  consumers.push(consumer);
  consumer.start();
  return running;
}

const isEmpty = (queue: string) =>
  broker.attributes(queue, "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible");
const EMPTY = { ApproximateNumberOfMessages: "0", ApproximateNumberOfMessagesNotVisible: "0" };

describe("a consumer", () => {
  it("handles what is there and what comes, and takes it away", async () => {
    const queue = await broker.queue();
    await broker.send(queue, "there");
    const { processed, errors } = consume(queue, { handleMessage: async (message) => message });
    await expect.poll(() => processed, { timeout: 60_000 }).toEqual(["there"]);
    await broker.send(queue, "comes", "too");
    await expect.poll(() => processed, { timeout: 60_000 }).toEqual(["there", "comes", "too"]);
    expect(await isEmpty(queue)).toEqual(EMPTY);
    expect(errors).toEqual([]);
  });

  it("gets attributes as it asks for them", async () => {
    const queue = await broker.queue();
    const seen: Message[] = [];
    const { processed } = consume(queue, {
      messageAttributeNames: ["k"],
      messageSystemAttributeNames: ["ApproximateReceiveCount"],
      handleMessage: async (message) => {
        seen.push(message);
        return message;
      },
    });
    const MessageAttributes = { k: { DataType: "String", StringValue: "v" } };
    await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody: "a", MessageAttributes });
    await expect.poll(() => processed, { timeout: 60_000 }).toEqual(["a"]);
    expect(seen).toMatchObject([{ MessageAttributes, Attributes: { ApproximateReceiveCount: "1" } }]);
  });

  it("handles batches, and takes away what its handler returns", async () => {
    const queue = await broker.queue({ VisibilityTimeout: "1" });
    const bodies = Array.from({ length: 10 }, (_, i) => `${i}`);
    await broker.send(queue, ...bodies);
    const batches: string[][] = [];
    const { processed, errors } = consume(queue, {
      batchSize: 10,
      handleMessageBatch: async (messages) => {
        batches.push(messages.map(({ Body }) => Body!));
        // The odd ones only when they come alone.
        return batches.length === 1 ? messages.filter(({ Body }) => Number(Body) % 2 === 0) : messages;
      },
    });
    await expect.poll(() => processed.toSorted(), { timeout: 60_000 }).toEqual(bodies);
    expect(batches[0]).toEqual(bodies);
    expect(processed.slice(0, 5)).toEqual(["0", "2", "4", "6", "8"]);
    expect(await isEmpty(queue)).toEqual(EMPTY);
    expect(errors).toEqual([]);
  });

  it("handles a FIFO queue in order", async () => {
    const queue = await broker.queue({ FifoQueue: "true", ContentBasedDeduplication: "true" });
    const bodies = Array.from({ length: 6 }, (_, i) => `${i}`);
    for (const MessageBody of bodies) {
      await broker.sqs.sendMessage({ QueueUrl: queue, MessageBody, MessageGroupId: "g" });
    }
    const { processed } = consume(queue, { handleMessage: async (message) => message });
    await expect.poll(() => processed, { timeout: 60_000 }).toEqual(bodies);
  });

  it("keeps by its heartbeats what it handles for longer than the visibility timeout", async () => {
    const queue = await broker.queue();
    let handled = 0;
    let others: readonly Message[] | undefined;
    const { processed, errors } = consume(queue, {
      visibilityTimeout: 2,
      heartbeatInterval: 1,
      handleMessage: async (message) => {
        handled++;
        others = await broker.receive(queue, { WaitTimeSeconds: 4 });
        return message;
      },
    });
    await broker.send(queue, "long");
    await expect.poll(() => processed, { timeout: 60_000 }).toEqual(["long"]);
    expect(others).toEqual([]);
    expect(handled).toBe(1);
    expect(await isEmpty(queue)).toEqual(EMPTY);
    expect(errors).toEqual([]);
  });
});

describe("a message whose handler fails", () => {
  it("comes again when its visibility timeout is over", async () => {
    const queue = await broker.queue({ VisibilityTimeout: "1" });
    const counts: (string | undefined)[] = [];
    const { processed, errors } = consume(queue, {
      messageSystemAttributeNames: ["ApproximateReceiveCount"],
      handleMessage: async (message) => {
        counts.push(message.Attributes?.ApproximateReceiveCount);
        if (counts.length === 1) throw new Error("it broke");
        return message;
      },
    });
    await broker.send(queue, "a");
    await expect.poll(() => processed, { timeout: 60_000 }).toEqual(["a"]);
    expect(counts).toEqual(["1", "2"]);
    expect(errors).toHaveLength(1);
  });

  it("comes again at once when its consumer ends the visibility timeout", async () => {
    // Otherwise it would be hidden for longer than this test may take.
    const queue = await broker.queue({ VisibilityTimeout: "43200" });
    let attempts = 0;
    const { processed } = consume(queue, {
      terminateVisibilityTimeout: true,
      handleMessage: async (message) => {
        if (++attempts < 3) throw new Error("it broke");
        return message;
      },
    });
    await broker.send(queue, "a");
    await expect.poll(() => processed, { timeout: 60_000 }).toEqual(["a"]);
    expect(attempts).toBe(3);
  });

  it("is a dead letter when it failed as often as it may", async () => {
    const { source, dead } = await broker.queueWithDeadLetters({}, 2);
    let attempts = 0;
    consume(source, {
      terminateVisibilityTimeout: true,
      handleMessage: async () => {
        attempts++;
        throw new Error("it broke");
      },
    });
    await broker.send(source, "a");
    expect((await broker.next(dead)).Body).toBe("a");
    expect(attempts).toBe(2);
  });
});

describe("a consumer that is stopped", () => {
  it("finishes what it handles, and takes no more", async () => {
    const queue = await broker.queue();
    let finish: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    let handled = 0;
    const { consumer, processed } = consume(queue, {
      handleMessage: async (message) => {
        handled++;
        await finished;
        return message;
      },
    });
    await broker.send(queue, "first", "second");
    await expect.poll(() => handled, { timeout: 60_000 }).toBe(1);
    consumer.stop();
    finish();
    await expect.poll(() => processed, { timeout: 60_000 }).toEqual(["first"]);
    expect(bodiesOf(await broker.receive(queue))).toEqual(["second"]);
  });

  it("and aborts its long poll swallows no message", async () => {
    const queue = await broker.queue();
    const { consumer } = consume(queue, { waitTimeSeconds: 20, handleMessage: async (message) => message });
    await expect.poll(() => broker.waiting(queue), { timeout: 60_000 }).toBe(1);
    const wish = {
      WaitTimeSeconds: 15,
      MessageSystemAttributeNames: ["ApproximateReceiveCount" as const],
    };
    const other = broker.client().receiveMessage({ QueueUrl: queue, ...wish });
    await expect.poll(() => broker.waiting(queue), { timeout: 60_000 }).toBe(2);
    consumer.stop({ abort: true });
    await expect.poll(() => broker.waiting(queue), { timeout: 60_000 }).toBe(1);
    await broker.send(queue, "after the stop");
    expect((await other).Messages).toMatchObject([
      { Body: "after the stop", Attributes: { ApproximateReceiveCount: "1" } },
    ]);
  });
});
