// The running broker as users of SQS reach it: AWS's own client over real sockets.
import { SQS, type Message, type ReceiveMessageRequest, type SQSClientConfig } from "@aws-sdk/client-sqs";
import { join } from "node:path";
import { createTestHarness } from "wrangler";

const CONFIG_PATH = join(import.meta.dirname, "../../wrangler.toml");
/** An open broker takes any. */
const ANY_KEYS = { accessKeyId: "any", secretAccessKey: "any" };
export const REGION = "eu-west-1";
const TEXT = { "Content-Type": "text/plain" };

export class SqsBroker {
  private readonly server;
  private readonly clients: SQS[] = [];
  private queueCount = 0;
  /** Where it listens, without a slash at the end. */
  url = "";
  sqs!: SQS;

  /** Tests purge and delete without a rest, unless they say otherwise. */
  constructor(vars: Record<string, string> = {}) {
    const all = { MILLRACE_SQS_AT_ONCE: "true", ...vars };
    this.server = createTestHarness({ workers: [{ configPath: CONFIG_PATH, vars: all }] });
  }

  async start(): Promise<void> {
    this.url = (await this.server.listen()).url.origin;
    this.sqs = this.client();
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.destroy();
    await this.server.close();
  }

  client(config: SQSClientConfig = {}): SQS {
    const client = new SQS({
      endpoint: this.url,
      region: REGION,
      credentials: ANY_KEYS,
      maxAttempts: 1,
      ...config,
    });
    this.clients.push(client);
    return client;
  }

  /** The URL of a queue that no other test has. */
  async queue(attributes: Record<string, string> = {}): Promise<string> {
    const name = `queue-${++this.queueCount}${attributes["FifoQueue"] === "true" ? ".fifo" : ""}`;
    const { QueueUrl } = await this.sqs.createQueue({ QueueName: name, Attributes: attributes });
    return QueueUrl!;
  }

  /** A queue of which everything is dead after its `maxReceiveCount`th receive, and where that goes. */
  async queueWithDeadLetters(
    attributes: Record<string, string> = {},
    maxReceiveCount = 1,
  ): Promise<{ source: string; dead: string }> {
    const { FifoQueue } = attributes;
    const dead = await this.queue(FifoQueue === undefined ? {} : { FifoQueue });
    const policy = { deadLetterTargetArn: arnOf(dead), maxReceiveCount };
    return { source: await this.queue({ ...attributes, RedrivePolicy: JSON.stringify(policy) }), dead };
  }

  async send(QueueUrl: string, ...bodies: string[]): Promise<void> {
    for (const MessageBody of bodies) await this.sqs.sendMessage({ QueueUrl, MessageBody });
  }

  /** What is there now. */
  async receive(
    QueueUrl: string,
    wish: Omit<ReceiveMessageRequest, "QueueUrl"> = {},
  ): Promise<readonly Message[]> {
    const { Messages } = await this.sqs.receiveMessage({ QueueUrl, MaxNumberOfMessages: 10, ...wish });
    return Messages ?? [];
  }

  /** The next message, however long it takes to come. */
  async next(QueueUrl: string, wish: Omit<ReceiveMessageRequest, "QueueUrl"> = {}): Promise<Message> {
    for (;;) {
      const [message] = await this.receive(QueueUrl, {
        MaxNumberOfMessages: 1,
        WaitTimeSeconds: 20,
        ...wish,
      });
      if (message !== undefined) return message;
    }
  }

  async attributes(QueueUrl: string, ...names: string[]): Promise<Record<string, string>> {
    const AttributeNames = names as "All"[];
    return (await this.sqs.getQueueAttributes({ QueueUrl, AttributeNames })).Attributes ?? {};
  }

  /** How many wait for a message, as the broker knows. */
  async waiting(queueUrl: string): Promise<number> {
    const info = (await (await this.native("GET", nameOf(queueUrl))).json()) as { consumers: unknown[] };
    return info.consumers.length;
  }

  /** A request to the broker's own HTTP interface. */
  native(method: string, path: string, body?: BodyInit, headers?: Record<string, string>): Promise<Response> {
    return fetch(`${this.url}/v1/queues/${path}`, {
      method,
      headers: headers ?? TEXT,
      ...(body === undefined ? {} : { body }),
    });
  }
}

export function nameOf(queueUrl: string): string {
  return queueUrl.split("/").at(-1)!;
}

export function arnOf(queueUrl: string): string {
  return `arn:aws:sqs:${REGION}:000000000000:${nameOf(queueUrl)}`;
}

export function bodiesOf(messages: readonly Message[]): string[] {
  return messages.map(({ Body }) => Body!);
}

export interface Told {
  /** What the client calls the error. */
  readonly name: string;
  /** The code of the older protocol, which clients still report. */
  readonly code: string;
  readonly status: number;
  readonly message: string;
}

/** How a call was refused. */
export async function refusalOf(call: Promise<unknown>): Promise<Told> {
  const error = await call.then(
    () => {
      throw new Error("it was not refused");
    },
    (reason: unknown) => reason as Refused,
  );
  if (error.$metadata === undefined) throw error;
  return {
    name: error.name,
    code: error.Code ?? "",
    status: error.$metadata.httpStatusCode ?? 0,
    message: error.message,
  };
}

type Refused = Error & { readonly Code?: string; readonly $metadata?: { readonly httpStatusCode?: number } };

/** The two errors of the framework that most rules are told by. */
export function invalidValue(message: unknown): Told {
  return { name: "InvalidParameterValue", code: "InvalidParameterValue", status: 400, message } as Told;
}

export function missing(parameter: string): Told {
  const message = `The request must contain the parameter ${parameter}.`;
  return { name: "MissingParameter", code: "MissingParameter", status: 400, message };
}

/** An exception of the model; `code` where the older protocol had another one. */
export function modelled(name: string, message: unknown, status = 400, code = name): Told {
  return { name, code, status, message } as Told;
}

export const NO_QUEUE = modelled(
  "QueueDoesNotExist",
  "The specified queue does not exist.",
  400,
  "AWS.SimpleQueueService.NonExistentQueue",
);
