// What exchanges and hubs offer their callers. As in rpc.ts, every method answers with a Result.
import type {
  BindingView,
  Binding,
  Destination,
  ExchangeInfo,
  ExplainAnswer,
  ExplainCommand,
  HubInfo,
  HubPush,
  PresenceAnswer,
  PresenceDelta,
  ReplayAnswer,
  ReplayCommand,
  ReplayPage,
  ReplayRest,
  ReplyCommand,
  RouteConfirm,
  RoutePublishCommand,
  RouteStep,
} from "./exchange-commands.ts";
import type { ExchangeConfig } from "./exchange-config.ts";
import type { MovedCommand, MovesTaken } from "./move-target.ts";
import type { Result } from "./result.ts";
import type { Grant, RemoteDelivery } from "./rpc.ts";

export interface ExchangeApi {
  /** Makes the exchange, or finds it with an equal configuration. `exchange_exists` when the configurations differ. */
  declare(config: ExchangeConfig): Promise<Result<{ created: boolean; info: ExchangeInfo }>>;
  /** Changes the named fields; the kind and `durable` can't be changed. */
  update(changes: Partial<ExchangeConfig>): Promise<Result<ExchangeInfo>>;
  inspect(): Promise<Result<ExchangeInfo>>;
  /** Takes its bindings, history and delayed messages with it, and tells the subscribers. */
  remove(options: { ifUnused: boolean }): Promise<Result<{ bindings: number; delayed: number }>>;

  /** Repeatable: an equal binding is found, not made twice. Seen by every publish that comes after the answer. */
  bind(binding: Binding): Promise<Result<{ created: boolean; binding: BindingView }>>;
  unbind(id: number): Promise<Result<BindingView>>;
  bindings(options: {
    after: number;
    limit: number;
  }): Promise<Result<{ bindings: BindingView[]; after?: number }>>;
  explain(command: ExplainCommand): Promise<Result<ExplainAnswer>>;

  /** Resolves when every destination has answered and every hub has the events: this is the confirm. */
  publish(command: RoutePublishCommand): Promise<Result<RouteConfirm>>;
  /** Several publishes in one call, each confirmed or refused on its own, in their order. */
  publishAll(commands: readonly RoutePublishCommand[]): Promise<Result<RouteConfirm>[]>;

  // For other objects

  /** For an exchange that leads here: what this one makes of the batch. Its subscribers and history get it, unless quiet. */
  step(batch: Uint8Array, options: { isQuiet: boolean }): Promise<Result<RouteStep>>;
  /** For queues: takes dead letters. Repeatable, as QueueApi.acceptMoves; `unroutable` holds them back at the sender. */
  acceptMoves(command: MovedCommand): Promise<Result<MovesTaken>>;
  /** For a destination that is going: takes away the bindings that lead to it. Repeatable. */
  unbindAll(destination: Destination): Promise<Result<{ bindings: number }>>;
  /**
   * For hubs: events are pushed from the answer's offset on, as long as the lease runs. Renewing is attaching again;
   * another `attachment` than before tells a hub that it was dropped meanwhile.
   */
  attach(hub: string): Promise<Result<Attachment>>;
  detach(hub: string): Promise<Result<void>>;
  /** `pageBytes`: about so much of it, and at least one event; the rest is had page by page. Absent: all. */
  replay(command: ReplayCommand, pageBytes?: number): Promise<Result<ReplayAnswer>>;
  replayPage(pattern: string, rest: ReplayRest, pageBytes: number): Promise<Result<ReplayPage>>;
  /** Asks all hubs with subscribers whose pattern overlaps. */
  presence(pattern: string): Promise<Result<PresenceAnswer>>;
  /** From a hub with changes, for the other hubs' watchers. */
  reportPresence(delta: PresenceDelta): Promise<Result<void>>;
}

export interface Attachment {
  /** Tells this attachment of the hub from earlier ones; every push names it. */
  readonly attachment: number;
  readonly epoch: string;
  readonly offset: number;
  readonly presence: boolean;
}

/** The rights of a session, kept in its socket's attachment. */
export interface SessionClaims {
  readonly namespace: string;
  readonly subject: string;
  readonly jti?: string;
  readonly expiresMs?: number;
  readonly grants: readonly Grant[];
}

export interface HubApi {
  /** Opens a session's socket. Claims come in the header `Millrace-Claims` as SessionClaims. `hub_full` as a 503. */
  fetch(request: Request): Promise<Response>;
  inspect(): Promise<Result<HubInfo>>;

  // For other objects

  /** Events for this hub's subscribers. `isWanted` false: nobody here subscribes, and the lease may end. */
  push(pushes: readonly HubPush[]): Promise<Result<{ isWanted: boolean }>>;
  /** The exchange is gone, or could not reach this hub in time: its subscribers must subscribe anew. */
  interrupt(exchange: string, reason: "exchange_deleted" | "interrupted"): Promise<Result<void>>;
  reply(command: ReplyCommand): Promise<Result<void>>;
  /** Deliveries for sessions that consume here. The answer names the remote consumers that are gone. */
  deliver(queue: string, deliveries: readonly RemoteDelivery[]): Promise<Result<{ gone: number[] }>>;
  presence(exchange: string, pattern: string): Promise<Result<PresenceAnswer>>;
  presenceChanged(exchange: string, delta: PresenceDelta): Promise<Result<{ isWatched: boolean }>>;
  /** Ends the sessions of a token. */
  revoke(jti: string): Promise<Result<void>>;
}
