/**
 * Publishing through a session, calls and replies. A call is a message in a queue that names the session's inbox; its
 * reply comes back to the hub, and the correlation id says to whom and whether in time.
 */
import type { Env } from "../env.ts";
import { awayUntilMs, judgeReply } from "../hub/replies.ts";
import type { BatchCodec, MessageRecord } from "../protocol/batch.ts";
import { readBatchHeader, UNSTAMPED } from "../protocol/batch.ts";
import type { PublishCommand, PublishConfirm } from "../protocol/commands.ts";
import { assert } from "../protocol/assert.ts";
import { formatCorrelation, parseCorrelation, type Call } from "../protocol/correlation.ts";
import type { ReplyCommand, RouteConfirm, RoutePublishCommand } from "../protocol/exchange-commands.ts";
import { formatInbox, isInbox, parseInbox, REPLY_ERROR_HEADER } from "../protocol/inbox.ts";
import { eventToJson } from "../protocol/message-json.ts";
import { parseName } from "../protocol/names.ts";
import { batchOfFrame, stampOfFrame } from "../protocol/publish-frame.ts";
import { readRecord, readText } from "../protocol/record.ts";
import { replyQueuesOf } from "../protocol/reply-queues.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { SessionClientFrame } from "../protocol/session-frames.ts";
import {
  lacksAnswer,
  lacksGrant,
  lacksReplyTo,
  lacksTopicGrant,
  publisherOf,
  queueRate,
  rateCharges,
  type Use,
} from "../routing/grants.ts";
import type { HubStore } from "../storage/hub-store.ts";
import { CallLanes } from "./call-lane.ts";
import type { LiveSession } from "./live-session.ts";
import { exchangeOf, hubOf, queueOf } from "./peers.ts";
import type { SessionNames } from "./session-names.ts";

type PublishFrame = Extract<SessionClientFrame, { type: "publish" }>;
type CallFrame = Extract<SessionClientFrame, { type: "call" }>;
type ReplyFrame = Extract<SessionClientFrame, { type: "reply" }>;

export interface HubCallsPorts {
  readonly env: Env;
  readonly namespace: string;
  readonly hub: string;
  readonly codec: BatchCodec;
  readonly store: HubStore;
  readonly names: Pick<SessionNames, "seals" | "sealsIfAny">;
  live(session: number): LiveSession | null;
}

/** Fields of a request that a call sets itself, or that would keep its answer away. */
const DECIDED_BY_CALLS = ["replyTo", "correlationId", "ttlMs", "delayMs", "dedupId"] as const;
/** The attachment is written less often when each writing covers what comes soon after. */
const CALLS_SLACK_MS = 10_000;

export class HubCalls {
  private readonly ports: HubCallsPorts;
  private readonly queues: CallLanes<PublishCommand, Result<PublishConfirm>>;
  private readonly exchanges: CallLanes<RoutePublishCommand, Result<RouteConfirm>>;
  late = 0;
  orphaned = 0;

  constructor(ports: HubCallsPorts) {
    this.ports = ports;
    const { env, namespace } = ports;
    this.queues = new CallLanes((queue, commands) => queueOf(env, namespace, queue).publishAll(commands));
    this.exchanges = new CallLanes((name, commands) => exchangeOf(env, namespace, name).publishAll(commands));
  }

  // Publishing

  async publish(live: LiveSession, frame: PublishFrame, payload: Uint8Array): Promise<Refusal | null> {
    const batch = batchOfFrame(this.ports.codec, frame, payload);
    if (!batch.ok) return batch;
    const lacking = this.judgeReplyTo(live, batch.value);
    if (lacking) return lacking;
    return frame.exchange === undefined
      ? this.publishToQueue(live, frame, batch.value)
      : this.publishToExchange(live, frame, frame.exchange, batch.value);
  }

  private judgeReplyTo(live: LiveSession, batch: Uint8Array): Refusal | null {
    return lacksReplyTo(live.session.claims, replyQueuesOf(this.ports.codec, batch), Date.now());
  }

  private async publishToQueue(
    live: LiveSession,
    frame: PublishFrame,
    batch: Uint8Array,
  ): Promise<Refusal | null> {
    const { ref = null, queue = "" } = frame;
    const scanned = this.ports.codec.scan(batch, "client");
    if (!scanned.ok) return scanned;
    const refused = judgeQueue(live, queue);
    if (refused) return refused;
    const command = { batch, ...stampOfFrame(frame), ...callerOf(live, queue) };
    const confirm = await this.queues.add(queue, command, batch.length);
    if (!confirm.ok) return confirm;
    live.send({ type: "confirm", ref, queue, ...confirm.value });
    return null;
  }

  private async publishToExchange(
    live: LiveSession,
    frame: PublishFrame,
    exchange: string,
    batch: Uint8Array,
  ): Promise<Refusal | null> {
    const judged = this.judgeTopics(live, exchange, batch);
    if (!judged.ok) return judged;
    const { ref = null, mandatory = false } = frame;
    const command = { batch, mandatory, ...judged.value };
    const confirm = await this.exchanges.add(exchange, command, batch.length);
    if (!confirm.ok) return confirm;
    live.send({ type: "routed", ref, exchange, ...confirm.value });
    return null;
  }

  /** Every topic must be granted. Who publishes, and what is charged for it. */
  private judgeTopics(
    live: LiveSession,
    exchange: string,
    batch: Uint8Array,
  ): Result<Pick<RoutePublishCommand, "charges" | "publisher">> {
    const scanned = this.ports.codec.scan(batch, "client");
    if (!scanned.ok) return scanned;
    const table = scanned.value;
    const topics = new Map<string, number>();
    for (let i = 0; i < table.count; i++) {
      const topic = readText(batch, table.routingKeyOffset(i), table.routingKeySize(i));
      topics.set(topic, (topics.get(topic) ?? 0) + 1);
    }
    const nowMs = Date.now();
    const { claims } = live.session;
    const uses: Use[] = [];
    for (const [topic, messages] of topics) {
      const lacking = lacksTopicGrant(claims, "publish", exchange, topic, nowMs);
      if (lacking) return lacking;
      uses.push({ target: { exchange, topic }, messages });
    }
    const targets = uses.map(({ target }) => target);
    const publisher = publisherOf(claims, targets, nowMs);
    return ok({ charges: rateCharges(claims, uses, nowMs), publisher });
  }

  /** The one message of a call or a reply. */
  private recordOf(frame: Pick<CallFrame, "messages">, payload: Uint8Array): Result<MessageRecord> {
    const batch = batchOfFrame(this.ports.codec, frame, payload);
    if (!batch.ok) return batch;
    const scanned = this.ports.codec.scan(batch.value, "client");
    if (!scanned.ok) return scanned;
    if (scanned.value.count !== 1) return refuse("bad_request", "messages: must be one message");
    return ok(readRecord(batch.value, scanned.value.offset(0)));
  }

  // Calls

  async call(live: LiveSession, frame: CallFrame, payload: Uint8Array): Promise<Refusal | null> {
    const { ref, queue, timeoutMs } = frame;
    const record = this.recordOf(frame, payload);
    if (!record.ok) return record;
    const misplaced = DECIDED_BY_CALLS.find((field) => record.value[field] !== undefined);
    if (misplaced !== undefined)
      return refuse("bad_request", `${misplaced}: is not for a call, which decides it`);
    const refused = judgeQueue(live, queue);
    if (refused) return refused;
    const { id, tag, callsUntilMs } = live.session;
    const deadlineMs = Date.now() + timeoutMs;
    if (deadlineMs > callsUntilMs) live.save({ ...live.session, callsUntilMs: deadlineMs + CALLS_SLACK_MS });
    const asked: Call = { format: payload.byteLength > 0 ? "binary" : "json", ref, deadlineMs, queue };
    const proof = this.ports.names.seals.proofOf(asked, { session: id, tag });
    const request: MessageRecord = {
      ...record.value,
      replyTo: formatInbox({ hub: this.ports.hub, session: id, tag }),
      correlationId: formatCorrelation({ ...asked, proof }),
      // Dead work is dropped by the queue, and the responder can tell what time is left.
      ttlMs: timeoutMs,
    };
    const batch = this.ports.codec.encode([request], UNSTAMPED, "client");
    if (!batch.ok) return batch;
    const confirm = await this.queues.add(
      queue,
      { batch: batch.value, needsConsumer: true, ...callerOf(live, queue) },
      batch.value.length,
    );
    if (confirm.ok) return null;
    // Whoever serves a queue declares it: a queue that is not there has nobody to answer.
    return confirm.code === "queue_not_found" ? refuse("no_responders", confirm.detail) : confirm;
  }

  // Replies

  async reply(live: LiveSession, frame: ReplyFrame, payload: Uint8Array): Promise<Refusal | null> {
    const { to, correlationId, error, ref = null } = frame;
    const isEmpty = payload.byteLength === 0 && frame.messages === undefined;
    const record: Result<MessageRecord> = isEmpty
      ? ok({ body: new Uint8Array(0) })
      : this.recordOf(frame, payload);
    if (!record.ok) return record;
    const answer: MessageRecord = { ...record.value, correlationId };
    const batch = this.ports.codec.encode([answer], { ...UNSTAMPED, timeMs: Date.now() }, "client");
    if (!batch.ok) return batch;
    const command = { to, correlationId, batch: batch.value, ...(error === undefined ? {} : { error }) };
    const sent = isInbox(to)
      ? await this.replyToInbox(live, command)
      : await this.replyToQueue(live, command);
    if (sent) return sent;
    live.send({ type: "replied", ref });
    return null;
  }

  private async replyToInbox(live: LiveSession, command: ReplyCommand): Promise<Refusal | null> {
    const address = parseInbox(command.to);
    if (address === null) return refuse("bad_request", "to: is neither an inbox nor a queue's name");
    const lacking = lacksAnswer(live.session.claims, command.correlationId, Date.now());
    if (lacking) return lacking;
    const { env, namespace, hub } = this.ports;
    const answer =
      address.hub === hub
        ? this.receive(command, Date.now())
        : await hubOf(env, namespace, address.hub).reply(command);
    return answer.ok ? null : answer;
  }

  /** The durable variant: the reply is a message like any other. A responder that failed says so in a header. */
  private async replyToQueue(live: LiveSession, { to, batch, error }: ReplyCommand): Promise<Refusal | null> {
    const name = parseName("to", to);
    if (!name.ok) return name;
    const lacking = this.judgeReplyTo(live, batch);
    if (lacking) return lacking;
    const refused = judgeQueue(live, to);
    if (refused) return refused;
    const marked = error === undefined ? ok(batch) : this.withError(batch, error);
    if (!marked.ok) return marked;
    const command = { batch: marked.value, ...callerOf(live, to) };
    const confirm = await this.queues.add(to, command, marked.value.length);
    return confirm.ok ? null : confirm;
  }

  private withError(batch: Uint8Array, error: string): Result<Uint8Array> {
    const record = this.recordOf({}, batch);
    if (!record.ok) return record;
    const headers = { ...record.value.headers, [REPLY_ERROR_HEADER]: error };
    return this.ports.codec.encode([{ ...record.value, headers }], UNSTAMPED, "client");
  }

  /** A reply for a session of this hub. */
  receive(command: ReplyCommand, nowMs: number): Result<void> {
    const address = parseInbox(command.to);
    if (address === null) return refuse("bad_request", "to: is not an inbox");
    const { store } = this.ports;
    const live = this.ports.live(address.session);
    const connected = live?.session.tag ?? null;
    const away = live === null ? store.away(address.session) : null;
    const heldBytes = away === null ? 0 : store.heldBytes();
    const requester = { connected, away, heldBytes };
    const seals = this.ports.names.sealsIfAny;
    if (seals === null) return refuse("requester_gone", "to: the session is gone");
    const verdict = judgeReply(command, address, requester, seals, nowMs);
    if (verdict.kind === "late") this.late++;
    if (verdict.kind === "orphaned") this.orphaned++;
    if (verdict.kind !== "deliver" && verdict.kind !== "hold") return verdict.refusal;
    const { correlationId, error = null, batch } = command;
    if (verdict.kind === "hold") store.hold(address.session, { correlationId, error, batch });
    else this.give(live!, correlationId, error, batch);
    return ok(undefined);
  }

  private give(live: LiveSession, correlationId: string, error: string | null, batch: Uint8Array): void {
    const correlation = parseCorrelation(correlationId);
    assert(correlation !== null, "a reply that was judged has no correlation");
    const { ref, format } = correlation;
    const head = { type: "reply", ref, ...(error === null ? {} : { error }) } as const;
    if (format === "binary") {
      live.send(head, batch);
      return;
    }
    const scanned = this.ports.codec.scan(batch, "broker");
    assert(scanned.ok, "a reply that was encoded here is damaged");
    const record = readRecord(batch, scanned.value.offset(0));
    live.send({ ...head, messages: [eventToJson(record, 0, readBatchHeader(batch).timeMs)] });
  }

  /** The connection is gone while replies are due: they wait for a while. */
  noteAway({ session: { id, tag, callsUntilMs } }: LiveSession, nowMs: number): void {
    const untilMs = awayUntilMs(callsUntilMs, nowMs);
    if (untilMs !== null) this.ports.store.putAway({ session: id, tag, untilMs });
  }

  /** The session is back: what came meanwhile. */
  deliverHeld(live: LiveSession): void {
    const { store } = this.ports;
    if (store.away(live.id) === null) return;
    const nowMs = Date.now();
    for (const { correlationId, error, batch } of store.held(live.id)) {
      if ((parseCorrelation(correlationId)?.deadlineMs ?? 0) < nowMs) this.late++;
      else this.give(live, correlationId, error, batch);
    }
    store.remove(live.id);
  }
}

function judgeQueue({ session }: LiveSession, queue: string): Refusal | null {
  return lacksGrant(session.claims, ["publish"], queue, Date.now());
}

/** Who publishes to the queue, and what that is charged to. */
function callerOf(
  { session: { claims } }: LiveSession,
  queue: string,
): Pick<PublishCommand, "publisher" | "rate"> {
  const nowMs = Date.now();
  return { publisher: publisherOf(claims, [{ name: queue }], nowMs), ...queueRate(claims, queue, nowMs) };
}
