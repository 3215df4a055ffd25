/** Tags and permissions: labels of a queue that are kept and told. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  arnOf,
  invalidValue,
  missing,
  modelled,
  nameOf,
  refusalOf,
  SqsBroker,
} from "../../support/sqs-broker.ts";

const broker = new SqsBroker();
beforeAll(() => broker.start());
afterAll(() => broker.stop());

const tag = (QueueUrl: string, Tags: Record<string, string>) => broker.sqs.tagQueue({ QueueUrl, Tags });
const untag = (QueueUrl: string, ...TagKeys: string[]) => broker.sqs.untagQueue({ QueueUrl, TagKeys });
const tagsOf = async (QueueUrl: string) => (await broker.sqs.listQueueTags({ QueueUrl })).Tags;

const ACCOUNT = "123456789012";

function allow(QueueUrl: string, Label: string, Actions: string[], AWSAccountIds = [ACCOUNT]) {
  return broker.sqs.addPermission({ QueueUrl, Label, AWSAccountIds, Actions });
}

function disallow(QueueUrl: string, Label: string) {
  return broker.sqs.removePermission({ QueueUrl, Label });
}

async function policyOf(queue: string): Promise<unknown> {
  const { Policy } = await broker.attributes(queue, "Policy");
  return Policy === undefined ? undefined : JSON.parse(Policy);
}

describe("tags", () => {
  it("are set with a new queue, added to, replaced and taken away", async () => {
    const { QueueUrl } = await broker.sqs.createQueue({ QueueName: "tagged", tags: { a: "1", b: "2" } });
    expect(await tagsOf(QueueUrl!)).toEqual({ a: "1", b: "2" });
    await tag(QueueUrl!, { b: "3", c: "" });
    expect(await tagsOf(QueueUrl!)).toEqual({ a: "1", b: "3", c: "" });
    await untag(QueueUrl!, "a", "nobody");
    expect(await tagsOf(QueueUrl!)).toEqual({ b: "3", c: "" });
  });

  it("have keys whose case counts, of any script", async () => {
    const queue = await broker.queue();
    const tags = { key: "1", KEY: "2", "é ü/=+-@": "_.: ключ", constructor: "3" };
    await tag(queue, tags);
    for (const character of ["&", ",", "\n", "\u0001", "\ud800"]) {
      for (const bad of [{ [`a${character}`]: "v" }, { a: character }]) {
        expect(await refusalOf(tag(queue, bad))).toEqual(
          invalidValue("Tags can only include letters, digits, spaces and _ . : / = + - @."),
        );
      }
    }
    expect(await tagsOf(queue)).toEqual(tags);
  });

  it("are told of no queue that has none", async () => {
    const queue = await broker.queue({ KmsMasterKeyId: "k" });
    expect(await broker.sqs.listQueueTags({ QueueUrl: queue })).not.toHaveProperty("Tags");
  });

  it("are at most fifty", async () => {
    const queue = await broker.queue();
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, "v"]));
    await tag(queue, many(50));
    await tag(queue, many(50));
    expect(await refusalOf(tag(queue, { one: "more" }))).toEqual(
      invalidValue(`Too many tags added for queue ${nameOf(queue)}.`),
    );
    expect(Object.keys((await tagsOf(queue))!)).toHaveLength(50);
  });

  it("have keys of 1 to 128 characters, values of up to 256, and are not Amazon's", async () => {
    const queue = await broker.queue();
    await tag(queue, { ["x".repeat(128)]: "y".repeat(256) });
    for (const key of ["", "x".repeat(129)]) {
      expect(await refusalOf(tag(queue, { [key]: "v" }))).toEqual(
        invalidValue("Tag keys must be between 1 and 128 characters in length."),
      );
    }
    for (const tags of [{ k: "y".repeat(257) }, { "aws:k": "v" }, { "AWS:sqs:Policy": "v" }]) {
      expect(await refusalOf(tag(queue, tags))).toMatchObject({ code: "InvalidParameterValue" });
    }
    expect(await refusalOf(untag(queue, "aws:sqs:Policy"))).toMatchObject({ code: "InvalidParameterValue" });
  });

  it("must be said", async () => {
    const queue = await broker.queue();
    const tagged = broker.sqs.tagQueue({ QueueUrl: queue, Tags: undefined });
    expect(await refusalOf(tagged)).toEqual(missing("Tags"));
    const untagged = broker.sqs.untagQueue({ QueueUrl: queue, TagKeys: undefined });
    expect(await refusalOf(untagged)).toEqual(missing("TagKeys"));
  });
});

describe("permissions", () => {
  it("are statements of the queue's policy, one by label", async () => {
    const queue = await broker.queue();
    const arn = arnOf(queue);
    await allow(queue, "one", ["ReceiveMessage"]);
    const one = {
      Sid: "one",
      Effect: "Allow",
      Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` },
      Action: "SQS:ReceiveMessage",
      Resource: arn,
    };
    const policy = { Version: "2008-10-17", Id: `${arn}/SQSDefaultPolicy` };
    expect(await policyOf(queue)).toEqual({ ...policy, Statement: [one] });
    await allow(queue, "two", ["SendMessage", "DeleteMessage"], [ACCOUNT, "210987654321"]);
    const two = {
      Sid: "two",
      Effect: "Allow",
      Principal: { AWS: [`arn:aws:iam::${ACCOUNT}:root`, "arn:aws:iam::210987654321:root"] },
      Action: ["SQS:SendMessage", "SQS:DeleteMessage"],
      Resource: arn,
    };
    expect(await policyOf(queue)).toEqual({ ...policy, Statement: [one, two] });
    await disallow(queue, "one");
    expect(await policyOf(queue)).toEqual({ ...policy, Statement: [two] });
    await disallow(queue, "two");
    expect(await policyOf(queue)).toBeUndefined();
  });

  it("stand beside a policy that was set, and go with it", async () => {
    const queue = await broker.queue();
    const Statement = [{ Sid: "set", Effect: "Deny", Principal: "*", Action: "SQS:*", Resource: "*" }];
    const QueueUrl = queue;
    await broker.sqs.setQueueAttributes({
      QueueUrl,
      Attributes: { Policy: JSON.stringify({ Version: "2012-10-17", Statement }) },
    });
    await allow(queue, "added", ["*"]);
    expect(await policyOf(queue)).toMatchObject({
      Version: "2012-10-17",
      Statement: [{ Sid: "set" }, { Sid: "added" }],
    });
    await broker.sqs.setQueueAttributes({ QueueUrl, Attributes: { Policy: "" } });
    expect(await policyOf(queue)).toBeUndefined();
  });

  it("have no effect: access keys say who may do what", async () => {
    const queue = await broker.queue();
    const Statement = [{ Effect: "Deny", Principal: "*", Action: "SQS:*", Resource: arnOf(queue) }];
    const Attributes = { Policy: JSON.stringify({ Version: "2012-10-17", Statement }) };
    await broker.sqs.setQueueAttributes({ QueueUrl: queue, Attributes });
    await broker.send(queue, "a");
    expect(await broker.receive(queue)).toHaveLength(1);
  });

  it("have a label that is free when added, and there when taken away", async () => {
    const queue = await broker.queue();
    await allow(queue, "label", ["ReceiveMessage"]);
    expect(await refusalOf(allow(queue, "label", ["SendMessage"]))).toEqual(
      invalidValue("Value label for parameter Label is invalid. Reason: Already exists."),
    );
    expect(await refusalOf(disallow(queue, "other"))).toEqual(
      invalidValue("Value other for parameter Label is invalid. Reason: can't find label."),
    );
  });

  it("are of actions that can be allowed to others, seven at most", async () => {
    const queue = await broker.queue();
    expect(await refusalOf(allow(queue, "l", ["Nonsense"]))).toEqual(
      invalidValue(
        "Value SQS:Nonsense for parameter ActionName is invalid. Reason: Please refer to the appropriate WSDL for a list of valid actions.",
      ),
    );
    expect(await refusalOf(allow(queue, "l", ["CreateQueue"]))).toEqual(
      invalidValue(
        "Value SQS:CreateQueue for parameter ActionName is invalid. Reason: Only the queue owner is allowed to invoke this action.",
      ),
    );
    expect(await refusalOf(allow(queue, "l", []))).toEqual(missing("ActionName"));
    const eight = Array.from({ length: 8 }, () => "SendMessage");
    expect(await refusalOf(allow(queue, "l", eight))).toEqual(
      modelled("OverLimit", "8 Actions were found, maximum allowed is 7.", 403),
    );
  });

  it("are for accounts of twelve digits", async () => {
    const queue = await broker.queue();
    for (const accounts of [[], ["1"], [ACCOUNT, "nobody"]]) {
      expect(await refusalOf(allow(queue, "l", ["SendMessage"], accounts))).toEqual(
        invalidValue(
          `Value [${accounts.join(", ")}] for parameter PrincipalId is invalid. Reason: Unable to verify.`,
        ),
      );
    }
  });
});
