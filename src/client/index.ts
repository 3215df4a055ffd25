/** `millrace/client`: the client for browsers, Node 22 or later, Deno, Bun and Workers. This file only exports. */
export {
  connect,
  Client,
  type ConnectionChange,
  type ConnectOptions,
  type ExchangeSubscribeOptions,
} from "./client.ts";
export { Queue, PublishManyError, type Handle, type ReceiveOptions, type SettleResult } from "./queue.ts";
export type { MessageBody, OutgoingMessage, Published, PublishOptions } from "./outgoing.ts";
export type { PublisherOptions } from "./publisher-options.ts";
export type { Consumer } from "./consumer.ts";
export type { ConsumeOptions, Handler } from "./handler.ts";
export { DeadLetter, Message, Retry, type HandlerContext, type Outcome } from "./message.ts";
export type { MessageStream } from "./message-stream.ts";
export { Exchange, type BindTarget, type RouteOptions } from "./exchange.ts";
export { RouteError, type Routed } from "./exchange-publisher.ts";
export type { ExchangeEvent, Position } from "./event.ts";
export type { EventStream } from "./event-stream.ts";
export type { Subscription } from "./subscription.ts";
export type {
  EventHandler,
  Gap,
  Recovered,
  SubscribeOptions,
  SubscriptionState,
} from "./subscription-options.ts";
export type { PresenceChange, PresenceHandler, PresenceWatch } from "./presence.ts";
export type { CallOptions, Reply } from "./calls.ts";
export { Answer, REQUEST_QUEUE, type RequestHandler, type ServeOptions, type Service } from "./service.ts";
export type { Content } from "./content.ts";
export { isMillraceError, MillraceError, type ClientErrorCode } from "./errors.ts";
export type { BackoffOptions } from "./backoff.ts";
export { systemClock, type Clock } from "./clock.ts";
export type { FetchFunction, TokenSource } from "./http.ts";
export type { ConnectionState, SocketEvent, WebSocketConstructor, WebSocketLike } from "./socket.ts";
export type { ErrorCode } from "../protocol/errors.ts";
export type { CancelReason } from "../protocol/frames.ts";
export type { ExchangeConfig, ExchangeKind, HistoryPolicy } from "../protocol/exchange-config.ts";
export type {
  BindingView,
  Destination,
  ExchangeInfo,
  ExplainAnswer,
  GapReason,
  HeadersFilter,
  PresenceAnswer,
  PresenceMember,
} from "../protocol/exchange-commands.ts";
export type { SlowPolicy } from "../protocol/session-frames.ts";
export type { QueueConfig } from "../protocol/queue-config.ts";
export type {
  ConsumerView,
  DeathRecord,
  MessageState,
  QueueCounts,
  QueueInfo,
  QueueTotals,
  RedriveCommand,
  RedriveFilter,
  RedriveStatus,
  Settlement,
} from "../protocol/commands.ts";
export type { HeaderValue } from "../protocol/batch.ts";
export type { ViewJson } from "../protocol/message-json.ts";
