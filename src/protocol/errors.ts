/**
 * Every way a client can be told no. PROTOCOL §3 is this table in prose; a test compares the two.
 *
 * `status` is the HTTP answer, `closes` says whether a socket is closed after the refusal, `retry` whether the
 * same request may succeed later without being changed.
 */
export const ERRORS = {
  // The request itself
  bad_request: {
    status: 400,
    closes: false,
    retry: false,
    title: "A field is missing, misspelt or of the wrong type",
  },
  bad_frame: { status: 400, closes: true, retry: false, title: "The frame can't be read" },
  bad_batch: { status: 400, closes: false, retry: false, title: "The batch is damaged or breaks the format" },
  bad_name: { status: 400, closes: false, retry: false, title: "The name breaks the rules for names" },
  body_too_large: { status: 413, closes: false, retry: false, title: "A message's body is over the limit" },
  batch_too_large: { status: 413, closes: false, retry: false, title: "The batch is over the limit" },
  field_required: {
    status: 400,
    closes: false,
    retry: false,
    title: "The message lacks a field that the queue wants in every message",
  },
  unsupported_media_type: {
    status: 415,
    closes: false,
    retry: false,
    title: "This content type is not read here",
  },
  upgrade_required: { status: 426, closes: false, retry: false, title: "This address speaks WebSocket only" },
  // Who asks
  unauthenticated: {
    status: 401,
    closes: true,
    retry: false,
    title: "The token is missing, invalid, expired or revoked",
  },
  forbidden: { status: 403, closes: false, retry: false, title: "The token lacks the grant" },
  // What is asked for
  no_route: { status: 404, closes: false, retry: false, title: "There is nothing at this address" },
  method_not_allowed: {
    status: 405,
    closes: false,
    retry: false,
    title: "This address does not take this method",
  },
  queue_not_found: { status: 404, closes: false, retry: false, title: "There is no such queue" },
  message_not_found: { status: 404, closes: false, retry: false, title: "There is no such message waiting" },
  task_not_found: { status: 404, closes: false, retry: false, title: "There is no such redrive" },
  queue_exists: {
    status: 409,
    closes: false,
    retry: false,
    title: "The queue exists with another configuration",
  },
  queue_not_empty: { status: 409, closes: false, retry: false, title: "The queue still holds messages" },
  queue_in_use: { status: 409, closes: false, retry: false, title: "The queue still has consumers" },
  partitions_changed: {
    status: 503,
    closes: false,
    retry: true,
    title: "The queue has more partitions than the caller knew of",
  },
  dead_letter_missing: {
    status: 409,
    closes: false,
    retry: false,
    title: "The dead-letter queue does not exist",
  },
  dead_letter_refused: {
    status: 403,
    closes: false,
    retry: false,
    title: "The dead-letter queue takes none from this queue",
  },
  purged_recently: { status: 409, closes: false, retry: true, title: "The queue was purged a moment ago" },
  deleted_recently: {
    status: 409,
    closes: false,
    retry: true,
    title: "A queue of this name was deleted a moment ago",
  },
  redrive_running: { status: 409, closes: false, retry: true, title: "A redrive of this queue is going on" },
  exchange_not_found: { status: 404, closes: false, retry: false, title: "There is no such exchange" },
  exchange_exists: {
    status: 409,
    closes: false,
    retry: false,
    title: "The exchange exists with another configuration",
  },
  exchange_in_use: {
    status: 409,
    closes: false,
    retry: false,
    title: "The exchange still has bindings or subscribers",
  },
  exchange_internal: {
    status: 403,
    closes: false,
    retry: false,
    title: "The exchange takes messages from other exchanges only",
  },
  binding_not_found: { status: 404, closes: false, retry: false, title: "There is no such binding" },
  destination_missing: {
    status: 409,
    closes: false,
    retry: false,
    title: "The queue or exchange that a binding names does not exist",
  },
  too_many_bindings: {
    status: 429,
    closes: false,
    retry: false,
    title: "The exchange has as many bindings or destinations as it takes",
  },
  quota_exceeded: { status: 429, closes: false, retry: true, title: "The namespace's quota is used up" },
  // Leases and consumers
  lease_lost: {
    status: 409,
    closes: false,
    retry: false,
    title: "The message is not held under this lease any more",
  },
  already_settled: { status: 409, closes: false, retry: false, title: "The message was settled another way" },
  message_leased: {
    status: 409,
    closes: false,
    retry: true,
    title: "The message is with a consumer just now",
  },
  consumer_exclusive: {
    status: 409,
    closes: true,
    retry: true,
    title: "Another consumer holds the queue for itself",
  },
  too_many_consumers: {
    status: 429,
    closes: false,
    retry: true,
    title: "The queue has as many consumers as it takes",
  },
  not_consuming: { status: 409, closes: false, retry: false, title: "This socket has no consumer" },
  // Publishing
  queue_full: {
    status: 429,
    closes: false,
    retry: true,
    title: "The queue is at its limit and refuses new messages",
  },
  too_many_leases: { status: 429, closes: false, retry: true, title: "Too many deliveries are unsettled" },
  sequence_gap: {
    status: 409,
    closes: false,
    retry: false,
    title: "The producer's sequence does not follow on",
  },
  unroutable: { status: 422, closes: false, retry: false, title: "No binding leads to a queue" },
  rate_limited: { status: 429, closes: false, retry: true, title: "The token's rate is used up" },
  exchange_busy: {
    status: 429,
    closes: false,
    retry: true,
    title: "Too much waits in the exchange for its destinations",
  },
  // Sessions, requests and replies
  not_subscribed: { status: 409, closes: false, retry: false, title: "The session has no such subscription" },
  too_many_subscriptions: {
    status: 429,
    closes: false,
    retry: false,
    title: "The session has as many subscriptions as it takes",
  },
  too_slow: { status: 429, closes: true, retry: true, title: "The subscriber does not keep up" },
  hub_full: { status: 503, closes: true, retry: true, title: "The hub has as many sessions as it takes" },
  no_responders: { status: 503, closes: false, retry: true, title: "Nobody consumes the queue to answer" },
  call_timeout: { status: 504, closes: false, retry: false, title: "No reply came in time" },
  responder_failed: { status: 502, closes: false, retry: false, title: "The responder failed" },
  requester_gone: { status: 410, closes: false, retry: false, title: "Nobody waits for this reply any more" },
  // Us
  internal: { status: 500, closes: true, retry: true, title: "The broker failed; nothing was confirmed" },
  unavailable: { status: 503, closes: true, retry: true, title: "The broker can't answer just now" },
} as const satisfies Record<string, { status: number; closes: boolean; retry: boolean; title: string }>;

export type ErrorCode = keyof typeof ERRORS;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}
