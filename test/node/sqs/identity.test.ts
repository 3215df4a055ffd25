/** Who may ask a broker that has a secret: requests signed with access keys, and what a key does not open. */
import type { SQS, SQSClientConfig } from "@aws-sdk/client-sqs";
import { SignatureV4 } from "@smithy/signature-v4";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { signAccessKey, signToken } from "../../../src/edge/identity.ts";
import type { Claims, GrantVerb } from "../../../src/protocol/rpc.ts";
import { arnOf, modelled, nameOf, refusalOf, SqsBroker } from "../../support/sqs-broker.ts";
import { NodeHash } from "../../support/signed-requests.ts";
import { SECRET } from "../../support/token.ts";

const broker = new SqsBroker({ MILLRACE_SECRET: SECRET });
const HOUR_MS = 3_600_000;
const EVERYTHING = ["publish:#", "consume:#", "manage:#"];
/** Of one who may do everything. */
let owner: SQS;
let queueCount = 0;

beforeAll(async () => {
  await broker.start();
  owner = await clientOf(EVERYTHING);
});
afterAll(() => broker.stop());

function claimsOf(grants: readonly string[], claims: Partial<Claims> = {}): Claims {
  return {
    namespace: "acme",
    subject: "tester",
    expiresMs: Date.now() + HOUR_MS,
    grants: grants.map((grant) => {
      const [verb, pattern] = grant.split(":") as [GrantVerb, string];
      return { verb, pattern };
    }),
    ...claims,
  };
}

async function clientOf(
  grants: readonly string[],
  claims: Partial<Claims> = {},
  config: SQSClientConfig = {},
): Promise<SQS> {
  return broker.client({ credentials: await signAccessKey(claimsOf(grants, claims), SECRET), ...config });
}

async function fresh(prefix = "queue"): Promise<string> {
  const { QueueUrl } = await owner.createQueue({ QueueName: `${prefix}-${++queueCount}` });
  return QueueUrl!;
}

/** Of the framework in front of the service. */
function denied(code: string, message: unknown = expect.any(String)) {
  return modelled(code, message, 403);
}

const WRONG = denied(
  "SignatureDoesNotMatch",
  "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
);
const UNKNOWN = denied("InvalidClientTokenId", "The security token included in the request is invalid.");

describe("a request signed with an access key", () => {
  it("is answered, and its sender is known by the key's subject", async () => {
    const queue = await fresh();
    const sender = await clientOf(EVERYTHING, { subject: "billing" });
    await sender.sendMessage({ QueueUrl: queue, MessageBody: "a" });
    const { Messages } = await owner.receiveMessage({
      QueueUrl: queue,
      MessageSystemAttributeNames: ["SenderId"],
    });
    expect(Messages).toMatchObject([{ Body: "a", Attributes: { SenderId: "billing" } }]);
  });

  it("may be for any region, which ARNs then name", async () => {
    const queue = await fresh();
    const abroad = await clientOf(EVERYTHING, {}, { region: "mars-north-1" });
    const { Attributes } = await abroad.getQueueAttributes({ QueueUrl: queue, AttributeNames: ["QueueArn"] });
    expect(Attributes!.QueueArn).toBe(`arn:aws:sqs:mars-north-1:000000000000:${nameOf(queue)}`);
  });

  it("may carry a mebibyte", async () => {
    const queue = await fresh();
    const MessageBody = "x".repeat(1_048_576);
    await owner.sendMessage({ QueueUrl: queue, MessageBody });
    const { Messages } = await owner.receiveMessage({ QueueUrl: queue });
    expect(Messages![0]!.Body === MessageBody).toBe(true);
  });

  it("sees only the namespace of its key", async () => {
    const queue = await fresh("of-acme");
    const other = await clientOf(EVERYTHING, { namespace: "other" });
    expect((await owner.listQueues({ QueueNamePrefix: "of-acme" })).QueueUrls).toEqual([queue]);
    expect(await other.listQueues({ QueueNamePrefix: "of-acme" })).not.toHaveProperty("QueueUrls");
    expect(await refusalOf(other.receiveMessage({ QueueUrl: queue }))).toMatchObject({
      name: "QueueDoesNotExist",
    });
  });
});

describe("a request is refused", () => {
  it("that is not signed", async () => {
    const unsigned = broker.client({ signer: { sign: async (request) => request } });
    expect(await refusalOf(unsigned.listQueues())).toEqual(
      denied("AccessDenied", `Access to the resource ${broker.url}/ is denied.`),
    );
  });

  it("that is signed with another secret", async () => {
    const credentials = {
      ...(await signAccessKey(claimsOf(EVERYTHING), SECRET)),
      secretAccessKey: "guessed",
    };
    expect(await refusalOf(broker.client({ credentials }).listQueues())).toEqual(WRONG);
  });

  it("that was changed after it was signed", async () => {
    const queue = await fresh();
    const client = await clientOf(EVERYTHING);
    client.middlewareStack.add(
      (next) => (args) => {
        const request = args.request as { body: Uint8Array };
        request.body = Buffer.from(new TextDecoder().decode(request.body).replace("as signed", "as forged"));
        return next(args);
      },
      { step: "finalizeRequest", priority: "low" },
    );
    const call = client.sendMessage({ QueueUrl: queue, MessageBody: "as signed" });
    expect(await refusalOf(call)).toMatchObject({ code: "SignatureDoesNotMatch", status: 403 });
  });

  it("whose key nobody has signed", async () => {
    const foreign = await signAccessKey(claimsOf(EVERYTHING), "another secret that is long enough for HS256");
    const unknown = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "any" };
    for (const credentials of [foreign, unknown]) {
      expect(await refusalOf(broker.client({ credentials }).listQueues())).toEqual(UNKNOWN);
    }
  });

  it("whose key has ended", async () => {
    const ended = await clientOf(EVERYTHING, { expiresMs: Date.now() - HOUR_MS });
    expect(await refusalOf(ended.listQueues())).toEqual(UNKNOWN);
  });

  it("whose key is a token for bearers, and a key is none", async () => {
    const token = await signToken(claimsOf(EVERYTHING), SECRET);
    const { accessKeyId, secretAccessKey } = await signAccessKey(claimsOf(EVERYTHING), SECRET);
    const client = broker.client({ credentials: { accessKeyId: token, secretAccessKey } });
    expect(await refusalOf(client.listQueues())).toEqual(UNKNOWN);
    const native = await fetch(`${broker.url}/v1/queues`, {
      headers: { Authorization: `Bearer ${accessKeyId}` },
    });
    expect(native.status).toBe(401);
  });

  it("with a token for bearers in place of a signature", async () => {
    const token = await signToken(claimsOf(EVERYTHING), SECRET);
    const bearer = broker.client({
      signer: {
        sign: async (request) => ({
          ...request,
          headers: { ...request.headers, authorization: `Bearer ${token}` },
        }),
      },
    });
    const refusal = await refusalOf(bearer.listQueues());
    expect(refusal).toMatchObject({ code: "IncompleteSignature", status: 400 });
    expect(refusal.message).not.toContain(token);
  });

  it("whose key was revoked", async () => {
    const jti = crypto.randomUUID();
    const client = await clientOf(EVERYTHING, { jti });
    await client.listQueues();
    const revoked = await fetch(`${broker.url}/v1/tokens/revoke`, {
      method: "POST",
      headers: {
        Authorization: `Bearer ${await signToken(claimsOf(EVERYTHING), SECRET)}`,
        "Content-Type": "application/json",
      },
      body: JSON.stringify({ jti, untilMs: Date.now() + HOUR_MS }),
    });
    expect(revoked.status).toBe(200);
    await expect
      .poll(
        () =>
          client.listQueues().then(
            () => null,
            (error: Error) => error.name,
          ),
        { timeout: 60_000, interval: 500 },
      )
      .toBe("InvalidClientTokenId");
    expect(await refusalOf(client.listQueues())).toEqual(UNKNOWN);
  });
});

describe("a client's clock", () => {
  const skewed = (minutes: number) => clientOf(EVERYTHING, {}, { systemClockOffset: minutes * 60_000 });

  it("may be minutes wrong", async () => {
    for (const minutes of [-10, 10]) await (await skewed(minutes)).listQueues();
  });

  it("that is more than fifteen minutes wrong is refused", async () => {
    const slow = await refusalOf((await skewed(-20)).listQueues());
    expect(slow).toEqual(
      denied("SignatureDoesNotMatch", expect.stringMatching(/^Signature expired: \d{8}T/)),
    );
    const fast = await refusalOf((await skewed(20)).listQueues());
    expect(fast).toEqual(
      denied("SignatureDoesNotMatch", expect.stringMatching(/^Signature not yet current: \d{8}T/)),
    );
  });

  it("is set right by a refusal, and the request then goes through", async () => {
    const nowMs = Date.now();
    for (const hours of [-10, 10]) {
      const client = await clientOf(EVERYTHING, {}, { maxAttempts: 2 });
      vi.useFakeTimers({ toFake: ["Date"], now: nowMs + hours * HOUR_MS });
      try {
        expect((await client.listQueues()).$metadata.attempts).toBe(2);
        expect((await client.listQueues()).$metadata.attempts).toBe(1);
      } finally {
        vi.useRealTimers();
      }
    }
  });
});

describe("a key opens what its grants say:", () => {
  const body = { MessageBody: "a" };
  /** What is refused of a queue that has no message, no task and no dead letters, by whoever it is asked. */
  const ELSE_REFUSED: Readonly<Record<string, string>> = {
    ChangeMessageVisibility: "InvalidParameterValue",
    StartMessageMoveTask: "InvalidParameterValue",
    CancelMessageMoveTask: "ResourceNotFoundException",
  };

  async function refusedActions(client: SQS, QueueUrl: string): Promise<string[]> {
    const ReceiptHandle = Buffer.from(`${nameOf(QueueUrl)} 1-1`).toString("base64");
    const VisibilityTimeout = 60;
    const SourceArn = arnOf(QueueUrl);
    const TaskHandle = Buffer.from(JSON.stringify({ taskId: "1", sourceArn: SourceArn })).toString("base64");
    const calls: Record<string, () => Promise<unknown>> = {
      SendMessage: () => client.sendMessage({ QueueUrl, ...body }),
      SendMessageBatch: () => client.sendMessageBatch({ QueueUrl, Entries: [{ Id: "a", ...body }] }),
      ReceiveMessage: () => client.receiveMessage({ QueueUrl }),
      DeleteMessage: () => client.deleteMessage({ QueueUrl, ReceiptHandle }),
      DeleteMessageBatch: () =>
        client.deleteMessageBatch({ QueueUrl, Entries: [{ Id: "a", ReceiptHandle }] }),
      ChangeMessageVisibility: () =>
        client.changeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout }),
      ChangeMessageVisibilityBatch: () =>
        client.changeMessageVisibilityBatch({
          QueueUrl,
          Entries: [{ Id: "a", ReceiptHandle, VisibilityTimeout }],
        }),
      GetQueueUrl: () => client.getQueueUrl({ QueueName: nameOf(QueueUrl) }),
      GetQueueAttributes: () => client.getQueueAttributes({ QueueUrl, AttributeNames: ["All"] }),
      ListQueueTags: () => client.listQueueTags({ QueueUrl }),
      ListDeadLetterSourceQueues: () => client.listDeadLetterSourceQueues({ QueueUrl }),
      ListMessageMoveTasks: () => client.listMessageMoveTasks({ SourceArn }),
      StartMessageMoveTask: () => client.startMessageMoveTask({ SourceArn }),
      CancelMessageMoveTask: () => client.cancelMessageMoveTask({ TaskHandle }),
      SetQueueAttributes: () =>
        client.setQueueAttributes({ QueueUrl, Attributes: { VisibilityTimeout: "1" } }),
      CreateQueue: () => client.createQueue({ QueueName: nameOf(QueueUrl) }),
      TagQueue: () => client.tagQueue({ QueueUrl, Tags: { a: "b" } }),
      UntagQueue: () => client.untagQueue({ QueueUrl, TagKeys: ["a"] }),
      AddPermission: () =>
        client.addPermission({
          QueueUrl,
          Label: "all",
          AWSAccountIds: ["123456789012"],
          Actions: ["SendMessage"],
        }),
      RemovePermission: () => client.removePermission({ QueueUrl, Label: "all" }),
      PurgeQueue: () => client.purgeQueue({ QueueUrl }),
      DeleteQueue: () => client.deleteQueue({ QueueUrl }),
    };
    const refused: string[] = [];
    for (const [action, call] of Object.entries(calls)) {
      const code = await call().then(
        () => null,
        (error: Error) => error.name,
      );
      if (code === "AccessDenied") refused.push(action);
      else expect(code, action).toBe(ELSE_REFUSED[action] ?? null);
    }
    return refused;
  }

  const SENDING = ["SendMessage", "SendMessageBatch"];
  const RECEIVING = [
    "ReceiveMessage",
    "DeleteMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
  ];
  const READING = ["GetQueueAttributes", "ListQueueTags", "ListDeadLetterSourceQueues"];
  const MANAGING = [
    "ListMessageMoveTasks",
    "StartMessageMoveTask",
    "CancelMessageMoveTask",
    "SetQueueAttributes",
    "CreateQueue",
    "TagQueue",
    "UntagQueue",
    "AddPermission",
    "RemovePermission",
    "PurgeQueue",
    "DeleteQueue",
  ];

  it("to send", async () => {
    const queue = await fresh();
    const sender = await clientOf([`publish:${nameOf(queue)}`]);
    expect(await refusedActions(sender, queue)).toEqual([...RECEIVING, ...READING, ...MANAGING]);
  });

  it("to send so many messages a second", async () => {
    const queue = await fresh();
    const grant = { verb: "publish" as const, pattern: nameOf(queue), ratePerSecond: 0.001 };
    const slow = await clientOf([], { grants: [grant] });
    const codes: string[] = [];
    // A first message has its second; the part of the edge that counts may be another one.
    await expect
      .poll(async () => {
        await slow.sendMessage({ QueueUrl: queue, ...body }).catch((error: Error) => codes.push(error.name));
        return codes;
      })
      .toEqual(["RequestThrottled"]);
    expect(await refusalOf(slow.sendMessage({ QueueUrl: queue, ...body }))).toMatchObject({ status: 403 });
  });

  it("to receive", async () => {
    const queue = await fresh();
    const receiver = await clientOf([`consume:${nameOf(queue)}`]);
    expect(await refusedActions(receiver, queue)).toEqual([...SENDING, ...MANAGING]);
  });

  it("to manage", async () => {
    const queue = await fresh();
    const manager = await clientOf([`manage:${nameOf(queue)}`]);
    expect(await refusedActions(manager, queue)).toEqual([...SENDING, ...RECEIVING]);
  });

  it("and nothing of other queues, which it does not even see listed", async () => {
    const stranger = await clientOf(["publish:mine", "consume:mine", "manage:mine"]);
    const queue = await fresh("theirs");
    expect(await refusedActions(stranger, queue)).toEqual([
      ...SENDING,
      ...RECEIVING,
      "GetQueueUrl",
      ...READING,
      ...MANAGING,
    ]);
    expect(await stranger.listQueues()).not.toHaveProperty("QueueUrls");
    expect(await refusalOf(stranger.sendMessage({ QueueUrl: queue, ...body }))).toEqual(
      denied("AccessDenied"),
    );
  });

  it("to send dead letters only where it may publish or manage", async () => {
    const dead = await fresh("dead");
    const manager = await clientOf(["manage:own-queue"]);
    const deadLetterTargetArn = `arn:aws:sqs:eu-west-1:000000000000:${nameOf(dead)}`;
    const Attributes = { RedrivePolicy: JSON.stringify({ deadLetterTargetArn, maxReceiveCount: 1 }) };
    expect(await refusalOf(manager.createQueue({ QueueName: "own-queue", Attributes }))).toEqual(
      denied("AccessDenied"),
    );
  });
});

describe("a presigned URL", () => {
  async function presigned(query: Record<string, string>, path = "/"): Promise<string> {
    const credentials = await signAccessKey(claimsOf(EVERYTHING), SECRET);
    const signer = new SignatureV4({ service: "sqs", region: "us-east-1", credentials, sha256: NodeHash });
    const { host, hostname, port } = new URL(broker.url);
    const headers = { host };
    const request = { method: "GET", protocol: "http:", hostname, port: Number(port), path, query, headers };
    const signed = await signer.presign(request, { expiresIn: 60 });
    return `${broker.url}${path}?${new URLSearchParams(signed.query as Record<string, string>).toString()}`;
  }

  it("is answered, in XML", async () => {
    const queue = await fresh();
    const query = { Action: "SendMessage", MessageBody: "by URL & signed", Version: "2012-11-05" };
    const response = await fetch(await presigned(query, new URL(queue).pathname));
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/xml"]);
    const { Messages } = await owner.receiveMessage({ QueueUrl: queue });
    expect(Messages).toMatchObject([{ Body: "by URL & signed" }]);
  });

  it("that was changed is refused", async () => {
    const url = await presigned({ Action: "ListQueues", Version: "2012-11-05", QueueNamePrefix: "a" });
    expect((await fetch(url)).status).toBe(200);
    const response = await fetch(url.replace("QueueNamePrefix=a", "QueueNamePrefix=b"));
    expect(response.status).toBe(403);
    expect(await response.text()).toContain("<Code>SignatureDoesNotMatch</Code>");
  });
});
