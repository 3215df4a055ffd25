/**
 * What a gateway, which speaks another system's protocol, and the edge that hosts it are to one another. A gateway turns
 * wire into commands and answers into wire. Who may do what, how fast, what a lost answer means and how one waits is the
 * edge's business, and the same for everyone.
 */
import type { BatchCodec } from "./batch.ts";
import type { Delivery, PublishCommand, PublishConfirm, ReceiveCommand } from "./commands.ts";
import type { Refusal, Result } from "./result.ts";
import type { Claims, GrantVerb, QueueApi, QueuePage } from "./rpc.ts";

export interface Gateway {
  /** Whether the request speaks this gateway's protocol. Its body is not read for that. */
  takes(request: Request): boolean;
  answer(request: Request, host: GatewayHost): Promise<Response>;
}

export interface GatewayHost {
  /** The broker has no secret: whoever reaches it on loopback may do anything. */
  readonly isOpen: boolean;
  /** The request's body, read no further than `bytesMax`: `batch_too_large` when there is more. */
  readBody(bytesMax: number): Promise<Result<Uint8Array>>;
  /** The claims of whoever calls an open broker; refused when it is not called from loopback. */
  openClaims(): Result<Claims>;
  /** The claims and the secret half of an access key (PROTOCOL §8.6), unless it has ended or is revoked. */
  accessKey(id: string): Promise<Result<AccessKey>>;
  /** What the caller may do. */
  broker(claims: Claims): Broker;
  /** The answer to who waits for it. See Held. */
  hold(answer: Promise<Response>, held: Held): Promise<Response>;
  readonly codec: BatchCodec;
  /** Milliseconds since 1970. */
  now(): number;
  readonly log: Log;
}

/**
 * An answer that may take long is begun with spaces, which JSON and XML allow in front of a document: only so is it known
 * that a client has gone.
 */
export interface Held {
  /** An answer that has nothing to tell. Its headers are those of every answer that is begun early. */
  readonly nothing: () => Response;
  /** The document where the answer would be a refusal, but was begun as a success. Absent: that of `nothing`. */
  readonly late?: (refusal: Response) => Promise<string>;
  readonly onGone: () => void;
}

/** One line of the log; `facts` never have a body or a token. */
export type Log = (
  level: "info" | "error",
  event: string,
  facts: Readonly<Record<string, string | number | boolean>>,
) => void;

export interface AccessKey {
  readonly claims: Claims;
  /** What the request's signature must have been made with. */
  readonly secretAccessKey: string;
}

/** The broker as one caller may use it. Every refusal of a right or a rate is made here. */
export interface Broker {
  readonly claims: Claims;
  /** Why the caller has none of the verbs over a queue's name, or null. */
  lacks(verbs: readonly GrantVerb[], queue: string): Refusal | null;
  ask<T>(question: Question<T>): Promise<Result<T>>;
  /** Each command is accepted or refused on its own; the whole is refused for want of a right or a rate. */
  publish(
    queue: string,
    commands: readonly PublishCommand[],
    repeatable: boolean,
  ): Promise<Result<Result<PublishConfirm>[]>>;
  /** Waits for what is not ready yet: `waitMs`, or what the queue says. `signal`: the caller has gone. */
  receive(
    queue: string,
    command: Omit<ReceiveCommand, "consumer">,
    waitMs: number | undefined,
    signal: AbortSignal,
  ): Promise<Result<Delivery>>;
  /** Only those over which the caller has some grant. */
  listQueues(page: QueuePage): Promise<Result<{ queues: string[]; after?: string }>>;
  /** A body that lies in a bucket; null when it is gone, or over `bytesMax`. */
  body(reference: string, bytesMax: number): Promise<Uint8Array | null>;
}

/** A call to a queue's object. */
export interface Question<T> {
  readonly queue: string;
  /** The caller needs one of them. */
  readonly verbs: readonly GrantVerb[];
  /** For the log. */
  readonly method: string;
  /** Whether a second call after a lost answer does no harm. */
  readonly repeatable: boolean;
  run(queue: QueueApi): Promise<Result<T>>;
}
