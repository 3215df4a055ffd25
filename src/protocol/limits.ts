// Every limit of the broker, once. The edge checks them; the wasm side repeats the first block, and a test compares.

/** Limits of the batch format (PROTOCOL §2), repeated in wasm/limits.ts. */
export const BATCH_LIMITS = {
  /** A batch's whole size, header and all. Below the 2 MB that a row may hold in production. */
  batchBytesMax: 1_900_000,
  /** Records in one batch. */
  recordsMax: 4_096,
  /** A message's body. A namespace or queue may set a lower one. */
  bodyBytesMax: 1_048_576,
  /** Short strings: routing key, ordering key, ids, content type. Their length is one byte. */
  textBytesMax: 255,
  /** All headers of a record, encoded. */
  headersBytesMax: 16_384,
  /** Headers in a record. */
  headersMax: 64,
  /** The broker's own account of a dead message, encoded as JSON. */
  deathBytesMax: 8_192,
  /** Priorities run from 0 (default) to this. */
  priorityMax: 31,
  /** Delay and time to live: a year. */
  delayMsMax: 366 * 24 * 3_600_000,
} as const;

export const LIMITS = {
  ...BATCH_LIMITS,
  /** Names of namespaces, queues, consumers and producers. */
  nameBytesMax: 128,
  /** A JSON request's text. Base64 makes a body a third larger. */
  jsonBytesMax: 2_800_000,
  /** A WebSocket frame from a client. */
  frameBytesMax: 2_000_000,
  /** The JSON head of a binary frame. */
  frameHeadBytesMax: 262_144,
  /** Settlements in one request. */
  settlementsMax: 4_096,
  /** Deliveries a consumer may hold unsettled. */
  creditMax: 4_096,
  creditDefault: 20,
  /** Deliveries of one queue unsettled at one time, over all consumers. */
  leasedMax: 100_000,
  /** Bytes of frames that a peer may leave unread: beyond them a consumer gets no delivery. */
  unreadBytesMax: 4 * 1024 ** 2,
  /** The same of answers to what it sends: beyond them its socket is closed. */
  unreadAnswersMax: 4 * 1024 ** 2,
  /** The same of one queue's deliveries to a session, and of all that a session is sent: beyond it the session ends. */
  unreadRemoteBytesMax: 2 * 1024 ** 2,
  unreadSessionBytesMax: 32 * 1024 ** 2,
  /** Of all consumers of one queue; beyond them each may leave only `unreadShareMax` unread. */
  unreadQueueBytesMax: 48 * 1024 ** 2,
  unreadShareMax: 64 * 1024,
  /** How long a consumer whose leases have run out unread is kept. */
  deafMs: 30_000,
  /** Consumers' sockets on one queue. */
  consumersMax: 1_000,
  /** Of them, those of one subject, unless its token says otherwise: nobody takes all places. */
  consumersOfOneMax: 250,
  /** Labels of one queue, the bytes of each one's text, and of all names and texts together. */
  labelsMax: 100,
  labelBytesMax: 16_384,
  labelsBytesMax: 65_536,
  /** Queues that one dead-letter queue names as those it takes from. */
  deadLetterFromMax: 100,
  /** Lanes of a fair queue: it has as many as there are priorities. */
  fairLanesMax: 32,
  leaseMsMin: 1_000,
  leaseMsDefault: 30_000,
  leaseMsMax: 12 * 3_600_000,
  waitMsMax: 60_000,
  /** How long acks may be gathered: well below the time after which an idle object sleeps. */
  ackDelayMsMax: 5_000,
  /** Messages that one peek returns. */
  peekMax: 100,
  /** A consumer's words on why a message failed. */
  errorBytesMax: 1_024,
  /** Attempts kept in a message's log; older ones are dropped and counted. */
  attemptLogMax: 16,
  /** How often a message may move from queue to dead-letter queue before it is parked. */
  hopsMax: 16,
  dedupWindowMsDefault: 300_000,
  dedupWindowMsMax: 7 * 24 * 3_600_000,
  /** How long an idle producer's sequence is remembered. */
  producerIdleMs: 24 * 3_600_000,
  /** Queues in a namespace, and bytes over all of them; a namespace's quota may be lower. */
  queuesMax: 10_000,
  namespaceBytesMax: 100 * 1024 ** 3,
  /** One object's storage is 10 GB; a queue refuses before it is reached. */
  queueBytesMax: 8 * 1024 ** 3,
  /** Objects that one queue is spread over. Its sequences and lease ids have room for this many: see partitions.ts. */
  partitionsMax: 32,
  /** The largest body taken by reference, when a bucket is bound. */
  referencedBodyBytesMax: 100 * 1024 ** 2,
  /** Bodies from a bucket that one HTTP answer gives inline; the rest stay references. */
  inlinedBytesMax: 16 * 1024 ** 2,
  /** A token, as text. */
  tokenBytesMax: 4_096,
  /** A token that runs longer is refused, so that a revocation need not be remembered for ever. */
  tokenLifeMsMax: 366 * 24 * 3_600_000,
  /** By which a token's issuer may be ahead: of its `nbf` and `iat`. */
  clockSkewMsMax: 60_000,
  /** What RFC 7518 §3.2 asks of a key for HS256. */
  secretBytesMin: 32,
  /** Random bytes have more, in hexadecimal too; `aaaa…` has not. */
  secretDifferentBytesMin: 8,
  /** How long a revoked token may still be taken: each isolate of the edge asks for the list this often. */
  revocationLagMs: 10_000,
  /** Buckets of rates that a queue or an exchange remembers; those that are full are forgotten first. */
  rateBucketsMax: 4_096,
  /** Revoked tokens a namespace remembers; those that have run out are forgotten. */
  revokedMax: 10_000,
  /** Exchanges in a namespace; its quota may be lower. */
  exchangesMax: 1_000,
  /** Bindings of one exchange, and the distinct queues and exchanges they lead to. */
  bindingsMax: 20_000,
  destinationsMax: 1_000,
  /** Wildcards `#` in one pattern: each multiplies the ways a topic can match. */
  manyWordWildcardsMax: 2,
  /**
   * Words of all patterns together that one exchange binds, and that one hub matches for an exchange: a topic may have to
   * be led along all of them.
   */
  patternWordsMax: 100_000,
  /** Headers that one binding's filter asks for. */
  filterHeadersMax: 16,
  bindingWeightMax: 100,
  /** Exchanges that one publish may visit, and how many may stand in a row. */
  exchangesVisitedMax: 64,
  exchangeDepthMax: 16,
  /** Bindings that one explain tells of, and one page lists. */
  explainMax: 1_000,
  /** Bytes of publishes that wait in one exchange for their destinations; beyond them it refuses. */
  exchangeInFlightBytesMax: 32 * 1024 ** 2,
  /** The same of one socket on a queue of several partitions. */
  partSocketBytesMax: 16 * 1024 ** 2,
  /** What one exchange keeps. */
  historyEventsMax: 1_000_000,
  historyBytesMax: 256 * 1024 ** 2,
  /** What an exchange that is not durable keeps: it lies in memory. */
  memoryHistoryEventsMax: 10_000,
  memoryHistoryBytesMax: 4 * 1024 ** 2,
  lastValuesMax: 100_000,
  memoryLastValuesMax: 1_000,
  delayedBytesMax: 1024 ** 3,
  /** What a subscriber gets of the past in one go; more is a gap. */
  replayEventsMax: 10_000,
  replayBytesMax: 8 * 1024 ** 2,
  /** How long an exchange pushes to a hub, and a queue delivers to one, that has not renewed. */
  hubLeaseMs: 300_000,
  /** A push that takes longer than this counts as failed: the hub is told to subscribe anew. */
  hubPushMs: 10_000,
  /** Sessions on one hub, and hubs in a namespace. */
  sessionsMax: 10_000,
  hubsMax: 64,
  /** Subscriptions, consumed queues and presence watches of one session, and their names and patterns together. */
  subscriptionsMax: 100,
  subscriptionBytesMax: 8_192,
  consumedQueuesMax: 20,
  /** Bytes of events sent to a session that has not said `seen`; beyond them it is slow. */
  unseenBytesMax: 1024 ** 2,
  /** Event frames after which a client says `seen`, at the latest. */
  seenEveryFrames: 32,
  /** Topics, and their bytes, that conflation holds for one slow session. */
  conflatedTopicsMax: 1_000,
  conflatedBytesMax: 256 * 1024,
  presenceMembersMax: 1_000,
  /** How long changes of presence are gathered before they are told. */
  presenceGatherMs: 500,
  /** The time a caller may give a request. */
  callTimeoutMsDefault: 30_000,
  callTimeoutMsMax: 300_000,
  /** How long replies wait for a requester whose connection broke, and how many bytes of them. */
  replyGraceMs: 60_000,
  replyGraceBytesMax: 1024 ** 2,
} as const;
