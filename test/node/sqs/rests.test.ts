/** What SQS refuses for a minute, and a deployment may allow. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelled, nameOf, refusalOf, SqsBroker } from "../../support/sqs-broker.ts";

const broker = new SqsBroker({ MILLRACE_SQS_AT_ONCE: "false" });
beforeAll(() => broker.start());
afterAll(() => broker.stop());

function refusal(name: string, message: string, status: number) {
  return modelled(name, message, status, `AWS.SimpleQueueService.${name}`);
}

describe("a broker that keeps to the times of SQS", () => {
  it("purges a queue once in a minute", async () => {
    const [queue, other] = [await broker.queue(), await broker.queue()];
    const purge = (QueueUrl: string) => broker.sqs.purgeQueue({ QueueUrl });
    await purge(queue);
    const message = `Only one PurgeQueue operation on ${nameOf(queue)} is allowed every 60 seconds.`;
    await broker.send(queue, "a");
    expect(await refusalOf(purge(queue))).toEqual(refusal("PurgeQueueInProgress", message, 403));
    await purge(other);
    expect((await broker.native("POST", `${nameOf(queue)}/purge`)).status).toBe(200);
    expect(await broker.receive(queue)).toEqual([]);
  });

  it("keeps the name of a deleted queue for a minute, from callers of SQS only", async () => {
    const create = (QueueName: string) => broker.sqs.createQueue({ QueueName });
    const { QueueUrl } = await create("brief");
    await broker.sqs.deleteQueue({ QueueUrl });
    const message =
      "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
    expect(await refusalOf(create("brief"))).toEqual(refusal("QueueDeletedRecently", message, 400));
    await create("another");
    expect((await broker.native("PUT", "brief")).status).toBe(201);
    expect((await create("brief")).QueueUrl).toBe(QueueUrl);
  });
});
