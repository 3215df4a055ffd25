/**
 * One hub: many hibernating sockets, each a session that publishes, subscribes, consumes, calls and replies. It keeps no
 * messages. What it must know after a sleep lies in its sockets' attachments; its only rows are for sessions that were
 * cut off while replies were due.
 */
import { DurableObject } from "cloudflare:workers";
import kernels from "../../wasm/build/millrace.wasm";
import type { Env } from "../env.ts";
import { holdsTheSame, newSession, type Session } from "../hub/session.ts";
import { Subscribers } from "../hub/subscribers.ts";
import type {
  HubInfo,
  HubPush,
  PresenceAnswer,
  PresenceDelta,
  ReplyCommand,
} from "../protocol/exchange-commands.ts";
import type { HubApi, SessionClaims } from "../protocol/exchange-rpc.ts";
import { RESUME_HEADER } from "../protocol/inbox.ts";
import { LIMITS } from "../protocol/limits.ts";
import { splitObjectName } from "../protocol/names.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { CLAIMS_HEADER, type RemoteDelivery } from "../protocol/rpc.ts";
import { WasmBatchCodec } from "../protocol/wasm-batch-codec.ts";
import { GrowingMatcher } from "../routing/growing-matcher.ts";
import { WasmMatcher } from "../routing/wasm-matcher.ts";
import { HUB_MIGRATIONS, HubStore } from "../storage/hub-store.ts";
import { Sql } from "../storage/sql.ts";
import { Alarm } from "./alarm.ts";
import { ExchangeLinks } from "./exchange-links.ts";
import { HubCalls } from "./hub-calls.ts";
import { HubConsumers } from "./hub-consumers.ts";
import { HubEvents } from "./hub-events.ts";
import { HubFrames } from "./hub-frames.ts";
import { HubPresence } from "./hub-presence.ts";
import { HubSubscriptions } from "./hub-subscriptions.ts";
import { LiveSession } from "./live-session.ts";
import { exchangeOf, namespaceOf } from "./peers.ts";
import { CLOSE, closeSocket } from "./queue-socket.ts";
import { SessionNames } from "./session-names.ts";
import { SessionTokens } from "./session-tokens.ts";

/** Stateless, so all objects of the isolate share it. */
const codec = new WasmBatchCodec(kernels);

/** How often leases are renewed and sessions looked at, while there is anything to look after. */
const LOOK_MS = 60_000;
/** A session that has pinged and then been silent so long is gone. */
const SILENCE_MS = 90_000;
/** RFC 6455 §7.4.1: normal, going away (a page is left), no status. The client meant to go. */
const CLEAN_CLOSES: ReadonlySet<number> = new Set([1000, 1001, 1005]);
/** How long a revoked token is remembered: longer than any part of the edge may still take it. */
const REVOKED_MS = 3 * LIMITS.revocationLagMs;

export class HubObject extends DurableObject<Env> implements HubApi {
  private readonly store: HubStore;
  private readonly alarmClock: Alarm;
  private readonly sessions = new Map<number, LiveSession>();
  /** So that an attachment is read once in each life of the object, not with every frame. */
  private readonly bySocket = new WeakMap<WebSocket, LiveSession>();
  private readonly revoked = new Map<string, number>();
  private readonly links: ExchangeLinks;
  private readonly events: HubEvents;
  private readonly presenceOf: HubPresence;
  private readonly subscriptions: HubSubscriptions;
  private readonly consumers: HubConsumers;
  private readonly calls: HubCalls;
  private readonly frames: HubFrames;
  private readonly tokens: SessionTokens;
  private readonly names: SessionNames;
  /** Until then the namespace tells of revocations. */
  private registeredUntilMs = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.store = new HubStore(new Sql(ctx.storage.sql, [], HUB_MIGRATIONS));
    this.alarmClock = new Alarm(ctx.storage);
    const { namespace, name: hub } = this.place;
    this.names = new SessionNames(hub, this.store);
    const subscribers = new Subscribers(() => new GrowingMatcher(() => new WasmMatcher(kernels)));
    const live = (id: number): LiveSession | null => this.sessions.get(id) ?? null;
    const interrupt = (exchange: string, attachment?: number): void =>
      this.subscriptions.interrupt(exchange, "interrupted", attachment);
    this.links = new ExchangeLinks({
      attach: (exchange) => exchangeOf(env, namespace, exchange).attach(hub),
      detach: (exchange) => exchangeOf(env, namespace, exchange).detach(hub),
      isWanted: (exchange) => this.subscriptions.isWanted(exchange),
      interrupted: interrupt,
    });
    this.events = new HubEvents({
      codec,
      subscribers,
      links: this.links,
      live,
      interrupt,
      end: (slow, refusal) => this.end(slow, refusal, "lost"),
    });
    this.presenceOf = new HubPresence({
      env,
      namespace,
      hub,
      links: this.links,
      sessions: () => this.sessions.values(),
      waitUntil: (work) => ctx.waitUntil(work),
    });
    this.subscriptions = new HubSubscriptions({
      env,
      namespace,
      subscribers,
      links: this.links,
      events: this.events,
      presence: this.presenceOf,
      live,
      waitUntil: (work) => ctx.waitUntil(work),
    });
    this.consumers = new HubConsumers({ env, namespace, hub, codec, live });
    this.calls = new HubCalls({
      env,
      namespace,
      hub,
      codec,
      store: this.store,
      names: this.names,
      live,
    });
    this.frames = new HubFrames({
      codec,
      events: this.events,
      presence: this.presenceOf,
      subscriptions: this.subscriptions,
      consumers: this.consumers,
      calls: this.calls,
    });
    this.tokens = new SessionTokens(
      {
        sessions: () => this.sessions.values(),
        askRevoked: () => namespaceOf(env, namespace).revokedTokens(),
        end: (live, refusal) => {
          this.end(live, refusal, "released");
          live.close(CLOSE.policy, refusal.code);
        },
      },
      Date.now(),
    );
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    for (const socket of ctx.getWebSockets()) this.takeUp(socket);
    void ctx.blockConcurrencyWhile(() => this.alarmClock.load());
  }

  private get place(): { namespace: string; name: string } {
    const { name } = this.ctx.id;
    if (name === undefined) throw new Error("a hub's object is addressed by name only");
    return splitObjectName(name);
  }

  // Sessions

  override async fetch(request: Request): Promise<Response> {
    const claims = JSON.parse(request.headers.get(CLAIMS_HEADER) ?? "null") as SessionClaims | null;
    if (claims === null) return new Response("no claims", { status: 401 });
    const nowMs = Date.now();
    if (claims.jti !== undefined && (this.revoked.get(claims.jti) ?? 0) > nowMs) {
      return Response.json(refuse("unauthenticated", "token: has been revoked"), { status: 401 });
    }
    const back = this.sessionBack(request.headers.get(RESUME_HEADER), claims);
    if (back === null && this.sessions.size >= LIMITS.sessionsMax) {
      return Response.json(refuse("hub_full", `hub: has its ${LIMITS.sessionsMax} sessions`), {
        status: 503,
      });
    }
    return this.accept(back ?? this.names.make(claims, nowMs));
  }

  /** A session whose connection broke, come back: the same inbox, nothing else. */
  private sessionBack(key: string | null, claims: SessionClaims): Session | null {
    const id = this.names.opened(key, claims);
    if (id === null) return null;
    const old = this.sessions.get(id);
    if (old !== undefined) {
      this.drop(old, "lost");
      old.close(CLOSE.goingAway, "replaced");
      return { ...newSession(id, old.session.tag, claims), callsUntilMs: old.session.callsUntilMs };
    }
    const away = this.store.away(id);
    if (away === null) return null;
    // Its replies may still come, should the connection break once more.
    return { ...newSession(id, away.tag, claims), callsUntilMs: away.untilMs };
  }

  private accept(session: Session): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    const live = this.enter(server, session);
    live.save(session);
    const { claims } = session;
    live.send(this.names.hello(session));
    this.calls.deliverHeld(live);
    if (claims.jti !== undefined && this.registeredUntilMs <= Date.now()) this.ctx.waitUntil(this.register());
    this.keepAlarm(live);
    return new Response(null, { status: 101, webSocket: client });
  }

  private takeUp(socket: WebSocket): void {
    const session = socket.deserializeAttachment() as Session | null;
    if (session === null || this.sessions.has(session.id)) return;
    const live = this.enter(socket, session);
    this.names.note(session.id);
    this.subscriptions.takeUp(live);
  }

  private enter(socket: WebSocket, session: Session): LiveSession {
    const live = new LiveSession(socket, session);
    this.sessions.set(session.id, live);
    this.bySocket.set(socket, live);
    this.tokens.entered(live);
    return live;
  }

  private liveOf(socket: WebSocket): LiveSession | null {
    const live = this.bySocket.get(socket);
    return live !== undefined && this.sessions.get(live.id) === live ? live : null;
  }

  override async webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    await this.tokens.judge(Date.now());
    const live = this.liveOf(socket);
    if (live === null) return;
    const { session: before } = live;
    await this.frames.handle(live, data);
    // Going through all grants for all that it holds is too much for each frame.
    if (!holdsTheSame(live.session, before)) this.keepAlarm(live);
  }

  override async webSocketClose(socket: WebSocket, code: number): Promise<void> {
    // A socket whose closing woke the object may not be listed any more.
    if (this.liveOf(socket) === null) this.takeUp(socket);
    const live = this.liveOf(socket);
    if (live !== null) this.drop(live, CLEAN_CLOSES.has(code) ? "released" : "lost");
    closeSocket(socket, CLOSE.normal, "");
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await this.webSocketClose(socket, 1006);
  }

  /** A session is over. One that was cut off may come back for its replies. */
  private drop(live: LiveSession, how: "released" | "lost"): void {
    this.sessions.delete(live.id);
    this.tokens.left(live);
    live.forget();
    this.subscriptions.drop(live);
    this.ctx.waitUntil(this.consumers.drop(live, how));
    this.calls.noteAway(live, Date.now());
    this.alarmClock.keep([this.store.nextLapseMs()], Date.now());
  }

  private end(live: LiveSession, refusal: Refusal, how: "released" | "lost"): void {
    if (this.sessions.get(live.id) !== live) return;
    live.refuse(null, refusal);
    this.drop(live, how);
  }

  private endToken(live: LiveSession, what: string): void {
    this.end(live, refuse("unauthenticated", `token: ${what}`), "released");
  }

  // What other objects ask

  async push(pushes: readonly HubPush[]): Promise<Result<{ isWanted: boolean }>> {
    await this.tokens.judge(Date.now());
    for (const push of pushes) this.events.push(push);
    const isWanted = pushes.every(({ exchange }) => this.subscriptions.isWanted(exchange));
    if (!isWanted) for (const { exchange } of pushes) this.links.forget(exchange);
    return ok({ isWanted });
  }

  async interrupt(exchange: string, reason: "exchange_deleted" | "interrupted"): Promise<Result<void>> {
    this.links.forget(exchange);
    this.subscriptions.interrupt(exchange, reason);
    return ok(undefined);
  }

  async reply(command: ReplyCommand): Promise<Result<void>> {
    await this.tokens.judge(Date.now());
    return this.calls.receive(command, Date.now());
  }

  async deliver(queue: string, deliveries: readonly RemoteDelivery[]): Promise<Result<{ gone: number[] }>> {
    await this.tokens.judge(Date.now());
    return ok({ gone: this.consumers.deliver(queue, deliveries) });
  }

  async presence(exchange: string, pattern: string): Promise<Result<PresenceAnswer>> {
    return ok(this.presenceOf.answer(exchange, pattern));
  }

  async presenceChanged(exchange: string, delta: PresenceDelta): Promise<Result<{ isWatched: boolean }>> {
    return ok({ isWatched: this.presenceOf.tell(exchange, delta) });
  }

  async revoke(jti: string): Promise<Result<void>> {
    this.revoked.set(jti, Date.now() + REVOKED_MS);
    this.endRevoked(new Set([jti]));
    return ok(undefined);
  }

  private endRevoked(revoked: ReadonlySet<string>): void {
    for (const live of this.sessions.values()) {
      const { jti } = live.session.claims;
      if (jti !== undefined && revoked.has(jti)) this.endToken(live, "has been revoked");
    }
  }

  async inspect(): Promise<Result<HubInfo>> {
    const { late, orphaned } = this.calls;
    return ok({
      hub: this.place.name,
      sessions: this.sessions.size,
      subscriptions: this.subscriptions.count,
      exchanges: this.links.names().length,
      lateReplies: late,
      orphanedReplies: orphaned,
      eventsSent: this.events.sent,
      eventsDropped: this.events.dropped,
    });
  }

  // Time

  /** Repeatable: alarms come at least once. */
  override async alarm(): Promise<void> {
    this.alarmClock.rang();
    const nowMs = Date.now();
    this.store.removeLapsed(nowMs);
    for (const [jti, untilMs] of this.revoked) if (untilMs <= nowMs) this.revoked.delete(jti);
    for (const live of this.sessions.values()) this.lookAt(live, nowMs);
    if (this.sessions.size > 0) {
      await Promise.all([
        this.register(),
        this.subscriptions.renew(),
        this.consumers.renew(this.sessions.values()),
      ]);
    }
    if (this.sessions.size > 0 || this.store.nextLapseMs() !== null) this.keepAlarm();
    else await this.wipe();
  }

  /** A hub that nobody uses keeps nothing. Other events wait while the storage is wiped. */
  private async wipe(): Promise<void> {
    await this.ctx.storage.deleteAll();
    this.store.forget();
    this.names.forget();
  }

  private lookAt(live: LiveSession, nowMs: number): void {
    const { expiresMs } = live.session.claims;
    const pingMs = this.ctx.getWebSocketAutoResponseTimestamp(live.socket)?.getTime();
    if (expiresMs !== undefined && expiresMs <= nowMs) this.endToken(live, "it has expired");
    else if (live.isDeaf(nowMs)) {
      live.close(CLOSE.policy, "too_slow");
      this.drop(live, "lost");
    } else if (pingMs !== undefined && pingMs + SILENCE_MS <= nowMs) {
      live.close(CLOSE.policy, "heartbeat_lost");
      this.drop(live, "lost");
    } else {
      this.subscriptions.judge(live, nowMs);
      this.presenceOf.judge(live, nowMs);
      this.ctx.waitUntil(this.consumers.judge(live, nowMs));
    }
  }

  /** So that the namespace can tell of revocations. What it would have told before is asked for. */
  private async register(): Promise<void> {
    const { namespace, name } = this.place;
    if (![...this.sessions.values()].some(({ session }) => session.claims.jti !== undefined)) return;
    const untilMs = Date.now() + 3 * LOOK_MS;
    try {
      const registered = await namespaceOf(this.env, namespace).registerHub(name, untilMs);
      if (!registered.ok) throw new Error(registered.detail);
      this.registeredUntilMs = untilMs;
      const revoked = await namespaceOf(this.env, namespace).revokedTokens();
      if (revoked.ok) this.endRevoked(new Set(revoked.value));
    } catch (error) {
      console.error("a hub was not registered", { hub: name, error: String(error) });
    }
  }

  /** The alarm of a session that has just changed; without one, of all. */
  private keepAlarm(changed?: LiveSession): void {
    const nowMs = Date.now();
    const sessions = changed === undefined ? [...this.sessions.values()] : [changed];
    const ends = sessions.map((live) => this.subscriptions.nextEndMs(live));
    const lookMs = this.sessions.size > 0 ? nowMs + LOOK_MS : null;
    this.alarmClock.keep([lookMs, this.store.nextLapseMs(), ...ends], nowMs);
  }
}
