/** One queue, as `client.queue(name)` gives it: publish, consume, look after. Makes nothing until it is used. */
import type {
  PeekCommand,
  PurgeOptions,
  QueueInfo,
  RedriveCommand,
  RedriveStatus,
  Settlement,
} from "../protocol/commands.ts";
import { formatReceipt, type DeliveredJson, type ViewJson } from "../protocol/message-json.ts";
import { LIMITS } from "../protocol/limits.ts";
import type { QueueChanges, QueueConfig } from "../protocol/queue-config.ts";
import type { Consumer } from "./consumer.ts";
import { messageOfJson } from "./delivery.ts";
import { errorOfProblem, errorOfRefusal, MillraceError } from "./errors.ts";
import type { ConsumeOptions, Handler } from "./handler.ts";
import { NO_OPTIONS, refuseUnknown, type Known } from "./known-options.ts";
import type { Http } from "./http.ts";
import { MessageStream } from "./message-stream.ts";
import type { Message, Outcome, Settler } from "./message.ts";
import {
  jsonOf,
  PUBLISH_OPTIONS,
  type MessageBody,
  type OutgoingMessage,
  type Published,
  type PublishOptions,
} from "./outgoing.ts";
import type { Publisher } from "./publisher.ts";

/** Which waiting message: by its id, or by the sender's own key. */
export type Handle = string | { readonly cancelKey: string };

export interface ReceiveOptions {
  /** Messages at most, 1 to 4,096. Default 1. */
  readonly max?: number;
  /** How long to wait for the first, up to 60 s. Default: the queue's receiveWaitMs. */
  readonly waitMs?: number;
  /** Default: the queue's. */
  readonly leaseMs?: number;
  readonly consumer?: string;
  /** Repeating a receive with the same one gives the same messages while they are untouched. */
  readonly attemptId?: string;
}

const RECEIVE_OPTIONS: Known<ReceiveOptions> = {
  max: true,
  waitMs: true,
  leaseMs: true,
  consumer: true,
  attemptId: true,
};
const DELETE_OPTIONS: Known<{ ifEmpty?: boolean; ifUnused?: boolean }> = { ifEmpty: true, ifUnused: true };

/** What became of one settlement. */
export interface SettleResult {
  /** Whether all of it was settled. */
  readonly ok: boolean;
  readonly settled: number;
  /** With extend: when the lease now ends, in ms since 1970 by the broker's clock. */
  readonly untilMs?: number;
  /** With extend: that is earlier than was asked for, because no lease runs longer than twelve hours in all. */
  readonly isCut?: true;
  /** Why it was not: `lease_lost` or `already_settled`. */
  readonly code?: string;
  readonly detail?: string;
}

/** What a queue needs of its client. */
export interface QueuePorts {
  readonly http: Http;
  readonly publisher: () => Publisher;
  readonly consume: (handler: Handler, options: ConsumeOptions) => Consumer;
}

/** Some of `publishMany`'s messages were not published. `results` has one entry for each, in their order. */
export class PublishManyError extends MillraceError {
  readonly results: readonly (Published | MillraceError)[];

  constructor(first: MillraceError, results: readonly (Published | MillraceError)[]) {
    const count = results.filter((result) => result instanceof MillraceError).length;
    super(
      first.code,
      `${count} of ${results.length} messages were not published; the first: ${first.message}`,
      {
        facts: first.facts,
        cause: first,
      },
    );
    this.results = results;
  }
}

/** Over HTTP every settlement waits for its answer on its own, so one handler after the other may use it. */
class HttpSettler implements Settler {
  private readonly queue: Queue;

  constructor(queue: Queue) {
    this.queue = queue;
  }

  async settle(message: Message, outcome: Outcome): Promise<void> {
    const receipt = formatReceipt(message);
    const [result] = await this.queue.settle([{ receipt, ...outcome }]);
    if (result?.ok !== false) return;
    throw errorOfRefusal({ code: result.code ?? "lease_lost", detail: result.detail ?? "not settled" });
  }
}

export class Queue {
  readonly name: string;
  private readonly ports: QueuePorts;
  private readonly path: string;
  private readonly settler: HttpSettler = new HttpSettler(this);

  /** @internal */
  constructor(name: string, ports: QueuePorts) {
    this.name = name;
    this.ports = ports;
    this.path = `/v1/queues/${encodeURIComponent(name)}`;
  }

  // ---- messages

  /**
   * Resolves when the broker has stored the message. Messages of one turn travel together, so publish many without
   * awaiting each. Rejects with `timeout` (`facts.outcome` says whether it may have been published), `disconnected`,
   * `queue_not_found`, `queue_full`, `body_too_large`, `buffer_full`, `closed` …
   */
  publish(body: MessageBody, options: PublishOptions = NO_OPTIONS): Promise<Published> {
    return this.ports.publisher().publish(body, options);
  }

  /** As `publish`, or null when the buffer has no room now. */
  tryPublish(body: MessageBody, options: PublishOptions = NO_OPTIONS): Promise<Published> | null {
    return this.ports.publisher().tryPublish(body, options);
  }

  /** Resolves when all are stored, in their order. Rejects with a PublishManyError when any is not. */
  async publishMany(messages: readonly OutgoingMessage[]): Promise<Published[]> {
    const results = await this.ports.publisher().publishMany(messages);
    const first = results.find((result) => result instanceof MillraceError);
    if (first !== undefined) throw new PublishManyError(first, results);
    return results as Published[];
  }

  /** Resolves when the publisher's buffer has room: what a loop awaits that does not await each `publish`. */
  whenRoom(): Promise<void> {
    return this.ports.publisher().whenRoom();
  }

  /** Resolves when every message published so far is confirmed or rejected. */
  flush(): Promise<void> {
    return this.ports.publisher().flush();
  }

  /** Starts at once. See Handler for what its outcome means, and ConsumeOptions. */
  consume(handler: Handler, options: ConsumeOptions = {}): Consumer {
    return this.ports.consume(handler, options);
  }

  /** The same as an async iterator: `for await (const message of queue.messages())`. See MessageStream. */
  messages(options: Omit<ConsumeOptions, "concurrency"> = {}): MessageStream {
    return new MessageStream(this.ports.consume, options);
  }

  /** Takes messages over HTTP, without a socket. Settle each by its own methods. */
  async receive(options: ReceiveOptions = {}): Promise<Message[]> {
    refuseUnknown(options, RECEIVE_OPTIONS);
    const { messages, problem } = await this.ports.http.json<{ messages: DeliveredJson[]; problem?: object }>(
      "POST",
      `${this.path}/receive`,
      {
        json: options,
        // The queue may have a time of its own.
        longerMs: options.waitMs ?? LIMITS.waitMsMax,
        repeatable: options.attemptId !== undefined,
      },
    );
    // A refusal during a wait whose answer had begun.
    if (problem !== undefined) throw errorOfProblem(200, problem);
    return messages.map((message) => messageOfJson(message, this.settler));
  }

  /**
   * Settles by receipt or lease, over HTTP. Harmless to repeat. A single settlement that is refused whole rejects with
   * `lease_lost` or `already_settled`; of several, each has its result.
   */
  async settle(
    settlements: readonly ((Outcome & { readonly receipt: string }) | Settlement)[],
  ): Promise<SettleResult[]> {
    const request = { json: { settlements }, repeatable: true };
    return (await this.ports.http.json<{ results: SettleResult[] }>("POST", `${this.path}/settle`, request))
      .results;
  }

  // ---- one waiting message

  /** In whatever state it is, as long as it is not settled. Rejects with `message_not_found`. */
  find(id: string): Promise<ViewJson> {
    return this.ports.http.json("GET", this.messagePath(id), { repeatable: true });
  }

  /** Takes a message back; by its id with a token that may manage. Rejects with `message_leased` while a consumer has it, or `message_not_found`. */
  cancel(handle: Handle): Promise<{ id: string }> {
    if (typeof handle === "string") return this.ports.http.json("DELETE", this.messagePath(handle));
    return this.ports.http.json("DELETE", `${this.path}/messages`, { query: { ...handle } });
  }

  /**
   * Takes a message back, which by its id takes a token that may manage, and publishes another, in one step; the new one has
   * its own id. All of it or nothing:
   * rejects with `message_not_found`, `message_leased`, or what refuses the new message, and then the old one stays.
   */
  async replace(handle: Handle, body: MessageBody, options: PublishOptions = NO_OPTIONS): Promise<Published> {
    refuseUnknown(options, PUBLISH_OPTIONS);
    const isId = typeof handle === "string";
    const path = isId ? this.messagePath(handle) : `${this.path}/messages`;
    const request = { json: jsonOf(body, options), ...(isId ? {} : { query: { ...handle } }) };
    const answer = await this.ports.http.json<{ ids: string[]; duplicates: number[] }>("PUT", path, request);
    return { id: answer.ids[0] ?? "", duplicate: answer.duplicates.length > 0 };
  }

  /** A page of the messages in a state, with no effect on them. */
  peek(options: Partial<PeekCommand> = {}): Promise<{ messages: ViewJson[]; cursor?: string }> {
    return this.ports.http.json("GET", `${this.path}/messages`, { query: { ...options }, repeatable: true });
  }

  // ---- the queue itself

  /** Makes the queue, or finds it. What is left out has its default. Rejects with `queue_exists` if it is another. */
  declare(config: Partial<QueueConfig> = {}): Promise<QueueInfo> {
    return this.ports.http.json("PUT", this.path, { json: config, repeatable: true });
  }
  /** Changes what is named. A label of null is taken away; others that it does not name stay. */
  update(changes: QueueChanges): Promise<QueueInfo> {
    return this.ports.http.json("PATCH", this.path, { json: changes, repeatable: true });
  }
  inspect(): Promise<QueueInfo> {
    return this.ports.http.json("GET", this.path, { repeatable: true });
  }
  /** Deletes the queue with its messages. Rejects with `queue_not_empty` or `queue_in_use` where asked to. */
  async delete(options: { ifEmpty?: boolean; ifUnused?: boolean } = {}): Promise<{ messages: number }> {
    refuseUnknown(options, DELETE_OPTIONS);
    const { ifEmpty, ifUnused } = options;
    const query = {
      ifEmpty: ifEmpty === undefined ? undefined : String(ifEmpty),
      ifUnused: ifUnused === undefined ? undefined : String(ifUnused),
    };
    return this.ports.http.json("DELETE", this.path, { query });
  }
  /** Removes what waits or is dead, up to and including a sequence (default: all published so far). */
  purge(options: PurgeOptions = {}): Promise<{ messages: number }> {
    return this.ports.http.json("POST", `${this.path}/purge`, { json: options });
  }
  /** Nothing is delivered until `resume`; publishing goes on. */
  pause(): Promise<{ paused: boolean }> {
    return this.ports.http.json("POST", `${this.path}/pause`, { json: {}, repeatable: true });
  }
  resume(): Promise<{ paused: boolean }> {
    return this.ports.http.json("POST", `${this.path}/resume`, { json: {}, repeatable: true });
  }
  /** Frees a parked key of a FIFO queue: tries its message again, skips it, or drains the key. */
  resumeKey(key: string, action: "retry" | "skip" | "drain"): Promise<{ messages: number }> {
    return this.ports.http.json("POST", `${this.path}/keys/resume`, { json: { key, action } });
  }

  // ---- dead messages

  /** Moves dead messages back to where they died, or `to` another queue. `dryRun` only counts. */
  redrive(command: Partial<RedriveCommand> = {}): Promise<RedriveStatus> {
    return this.ports.http.json("POST", `${this.path}/redrive`, { json: command });
  }
  /** The last redrives of the queue, the newest first. */
  async redrives(): Promise<RedriveStatus[]> {
    const path = `${this.path}/redrive`;
    return (await this.ports.http.json<{ redrives: RedriveStatus[] }>("GET", path, { repeatable: true }))
      .redrives;
  }
  redriveStatus(task: number): Promise<RedriveStatus> {
    return this.ports.http.json("GET", `${this.path}/redrive/${task}`, { repeatable: true });
  }
  redriveCancel(task: number): Promise<RedriveStatus> {
    return this.ports.http.json("DELETE", `${this.path}/redrive/${task}`, { repeatable: true });
  }

  private messagePath(id: string): string {
    return `${this.path}/messages/${encodeURIComponent(id)}`;
  }
}
