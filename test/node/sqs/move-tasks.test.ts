/** Tasks that move dead letters back to work. */
import type { StartMessageMoveTaskRequest } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  arnOf,
  bodiesOf,
  invalidValue,
  modelled,
  refusalOf,
  REGION,
  SqsBroker,
} from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
beforeAll(() => broker.start());
afterAll(() => broker.stop());

const GONE = `arn:aws:sqs:${REGION}:000000000000:gone`;

function start(dead: string, wish: Omit<StartMessageMoveTaskRequest, "SourceArn"> = {}) {
  return broker.sqs.startMessageMoveTask({ SourceArn: arnOf(dead), ...wish });
}

async function tasks(dead: string, MaxResults?: number) {
  const { Results } = await broker.sqs.listMessageMoveTasks({ SourceArn: arnOf(dead), MaxResults });
  return Results ?? [];
}

/** Receives messages to death. */
async function kill(source: string, dead: string, ...bodies: string[]): Promise<void> {
  await broker.send(source, ...bodies);
  await broker.receive(source, { VisibilityTimeout: 0 });
  await expect
    .poll(() => broker.attributes(dead, "ApproximateNumberOfMessages"))
    .toEqual({ ApproximateNumberOfMessages: String(bodies.length) });
}

async function done(dead: string) {
  await expect.poll(async () => (await tasks(dead))[0]?.Status).toBe("COMPLETED");
  return (await tasks(dead))[0]!;
}

function notFound(message: string) {
  return modelled("ResourceNotFoundException", message, 404);
}

const noResource = (name: string) =>
  notFound(`The resource that you specified for the ${name} parameter doesn't exist.`);

function handle(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64");
}

describe("StartMessageMoveTask", () => {
  it("moves dead letters back to their source, where they keep their ids", async () => {
    const { source, dead } = await broker.queueWithDeadLetters();
    await kill(source, dead, "a", "b");
    const ids = async (queue: string, VisibilityTimeout?: number) =>
      (await broker.receive(queue, { VisibilityTimeout })).map(({ MessageId }) => MessageId);
    const before = await ids(dead, 0);
    const { TaskHandle } = await start(dead);
    expect(JSON.parse(Buffer.from(TaskHandle!, "base64").toString())).toEqual({
      taskId: expect.any(String),
      sourceArn: arnOf(dead),
    });
    const task = await done(dead);
    expect(task).toEqual({
      Status: "COMPLETED",
      SourceArn: arnOf(dead),
      ApproximateNumberOfMessagesMoved: 2,
      ApproximateNumberOfMessagesToMove: 2,
      StartedTimestamp: expect.any(Number),
    });
    await expect
      .poll(() => broker.attributes(source, "ApproximateNumberOfMessages"))
      .toEqual({
        ApproximateNumberOfMessages: "2",
      });
    expect(await ids(source)).toEqual(before);
    expect(await broker.receive(dead)).toEqual([]);
  });

  it("moves each back to its own source, and leaves what was sent to the dead-letter queue itself", async () => {
    const { source, dead } = await broker.queueWithDeadLetters();
    const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: arnOf(dead), maxReceiveCount: 1 });
    const other = await broker.queue({ RedrivePolicy });
    await broker.send(dead, "direct");
    await broker.send(source, "a");
    await broker.send(other, "b");
    for (const queue of [source, other]) await broker.receive(queue, { VisibilityTimeout: 0 });
    await expect
      .poll(() => broker.attributes(dead, "ApproximateNumberOfMessages"))
      .toEqual({ ApproximateNumberOfMessages: "3" });
    await start(dead);
    expect((await broker.next(source)).Body).toBe("a");
    expect((await broker.next(other)).Body).toBe("b");
    expect(await done(dead)).toMatchObject({ ApproximateNumberOfMessagesMoved: 2 });
    expect(bodiesOf(await broker.receive(dead))).toEqual(["direct"]);
  });

  it("moves everything to a destination, if one is named", async () => {
    const { source, dead } = await broker.queueWithDeadLetters();
    const destination = await broker.queue();
    await kill(source, dead, "a");
    await broker.send(dead, "direct");
    const DestinationArn = arnOf(destination);
    await start(dead, { DestinationArn, MaxNumberOfMessagesPerSecond: 500 });
    expect(await done(dead)).toMatchObject({
      DestinationArn,
      MaxNumberOfMessagesPerSecond: 500,
      ApproximateNumberOfMessagesMoved: 2,
    });
    await expect
      .poll(() => broker.attributes(destination, "ApproximateNumberOfMessages"))
      .toEqual({ ApproximateNumberOfMessages: "2" });
    expect(new Set(bodiesOf(await broker.receive(destination)))).toEqual(new Set(["a", "direct"]));
    expect(await broker.receive(source)).toEqual([]);
  });

  it("fails when its destination is deleted, and what it had not moved can be received where it was", async () => {
    const { source, dead } = await broker.queueWithDeadLetters();
    const destination = await broker.queue();
    await kill(source, dead, "a", "b");
    await start(dead, { DestinationArn: arnOf(destination), MaxNumberOfMessagesPerSecond: 1 });
    const first = await broker.next(destination);
    await broker.sqs.deleteQueue({ QueueUrl: destination });
    await expect.poll(async () => (await tasks(dead))[0]?.Status, { timeout: 15_000 }).toBe("FAILED");
    const [task] = await tasks(dead);
    expect(task).toMatchObject({
      FailureReason: "AWS.SimpleQueueService.NonExistentQueue",
      DestinationArn: arnOf(destination),
      ApproximateNumberOfMessagesMoved: 1,
    });
    expect(task).not.toHaveProperty("TaskHandle");
    const second = await broker.next(dead);
    expect(new Set([first.Body, second.Body])).toEqual(new Set(["a", "b"]));
  });

  it("does not move what is out", async () => {
    const { source, dead } = await broker.queueWithDeadLetters();
    await kill(source, dead, "a", "b");
    const out = await broker.next(dead);
    await start(dead);
    expect((await broker.next(source)).Body).not.toBe(out.Body);
    expect(await done(dead)).toMatchObject({ ApproximateNumberOfMessagesMoved: 1 });
  });

  it("is refused where there is nothing to move from or to", async () => {
    const { source, dead } = await broker.queueWithDeadLetters();
    const fifo = await broker.queue({ FifoQueue: "true" });
    const from = (SourceArn: string) => broker.sqs.startMessageMoveTask({ SourceArn });
    expect(await refusalOf(from(GONE))).toEqual(noResource("SourceArn"));
    expect(await refusalOf(start(dead, { DestinationArn: GONE }))).toEqual(noResource("DestinationArn"));
    expect(await refusalOf(start(source))).toEqual(
      invalidValue("Source queue must be configured as a Dead Letter Queue."),
    );
    const destinations = [arnOf(dead), arnOf(fifo), "no arn"];
    for (const DestinationArn of destinations) {
      expect(await refusalOf(start(dead, { DestinationArn }))).toMatchObject({
        code: "InvalidParameterValue",
        status: 400,
      });
    }
    for (const MaxNumberOfMessagesPerSecond of [0, 501]) {
      expect(await refusalOf(start(dead, { MaxNumberOfMessagesPerSecond }))).toEqual(
        invalidValue(
          "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: You must enter a number that's between 1 and 500.",
        ),
      );
    }
  });
});

describe("a task that runs", () => {
  async function running(): Promise<{ source: string; dead: string; TaskHandle: string }> {
    const { source, dead } = await broker.queueWithDeadLetters();
    const bodies = Array.from({ length: 10 }, (_, i) => `${i}`);
    await kill(source, dead, ...bodies);
    const { TaskHandle } = await start(dead, { MaxNumberOfMessagesPerSecond: 1 });
    return { source, dead, TaskHandle: TaskHandle! };
  }

  it("moves no more than it was told a second, and tells its handle", async () => {
    const { dead, source, TaskHandle } = await running();
    await broker.next(source);
    expect((await tasks(dead))[0]).toMatchObject({
      Status: "RUNNING",
      TaskHandle,
      MaxNumberOfMessagesPerSecond: 1,
      ApproximateNumberOfMessagesToMove: 10,
    });
  });

  it("is the only one of its queue", async () => {
    const { dead } = await running();
    expect(await refusalOf(start(dead))).toEqual(
      invalidValue(
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
      ),
    );
  });

  it("can be cancelled, and what it moved stays moved", async () => {
    const { dead, source, TaskHandle } = await running();
    await broker.next(source);
    const { ApproximateNumberOfMessagesMoved: moved } = await broker.sqs.cancelMessageMoveTask({
      TaskHandle,
    });
    expect(moved).toBeGreaterThan(0);
    expect(moved).toBeLessThan(10);
    await expect.poll(async () => (await tasks(dead))[0]?.Status).toBe("CANCELLED");
    const [task] = await tasks(dead);
    expect(task).not.toHaveProperty("TaskHandle");
    expect(await broker.attributes(dead, "ApproximateNumberOfMessages")).toEqual({
      ApproximateNumberOfMessages: String(10 - task!.ApproximateNumberOfMessagesMoved!),
    });
    await start(dead, { MaxNumberOfMessagesPerSecond: 500 });
    await done(dead);
  });
});

describe("CancelMessageMoveTask", () => {
  it("is refused for what is no handle, no task, or a task that does not run", async () => {
    const { dead } = await broker.queueWithDeadLetters();
    const cancel = (TaskHandle: string) => refusalOf(broker.sqs.cancelMessageMoveTask({ TaskHandle }));
    const sourceArn = arnOf(dead);
    expect(await cancel("garbage")).toEqual(invalidValue("Value for parameter TaskHandle is invalid."));
    for (const taskId of ["7", "a4ec3f6b-4a2f-4d0e-8c3f-0f8f5a1f2c3d"]) {
      expect(await cancel(handle({ taskId, sourceArn }))).toEqual(notFound("Task does not exist."));
    }
    expect(await cancel(handle({ taskId: "1", sourceArn: GONE }))).toEqual(noResource("SourceArn"));
    const { TaskHandle } = await start(dead);
    await done(dead);
    expect(await cancel(TaskHandle!)).toMatchObject({ code: "InvalidParameterValue", status: 400 });
  });
});

describe("ListMessageMoveTasks", () => {
  it("lists the newest first, one unless told, ten at most", async () => {
    const { source, dead } = await broker.queueWithDeadLetters();
    expect(await broker.sqs.listMessageMoveTasks({ SourceArn: arnOf(dead) })).not.toHaveProperty("Results");
    for (const body of ["a", "b"]) {
      await kill(source, dead, body);
      await start(dead, body === "b" ? { DestinationArn: arnOf(source) } : {});
      await done(dead);
      const { ReceiptHandle } = await broker.next(source);
      await broker.sqs.deleteMessage({ QueueUrl: source, ReceiptHandle });
    }
    expect(await tasks(dead)).toMatchObject([{ DestinationArn: arnOf(source) }]);
    const both = await tasks(dead, 10);
    expect(both.map(({ DestinationArn }) => DestinationArn)).toEqual([arnOf(source), undefined]);
    for (const max of [0, 11]) {
      expect(await refusalOf(tasks(dead, max))).toEqual(
        invalidValue(
          "Value for parameter MaxResults is invalid. Reason: You must enter a number that's between 1 and 10.",
        ),
      );
    }
    const gone = broker.sqs.listMessageMoveTasks({ SourceArn: GONE });
    expect(await refusalOf(gone)).toEqual(noResource("SourceArn"));
  });
});
