import type { Migration } from "./migrations.ts";

/** A queue's tables. Append only: a released step is never changed. */
export const QUEUE_MIGRATIONS: readonly Migration[] = [
  {
    number: 1,
    sql: [
      `CREATE TABLE queue (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        stored TEXT NOT NULL             -- JSON of StoredQueue
      ) STRICT`,
      `CREATE TABLE segment (
        id INTEGER PRIMARY KEY,          -- lane and first sequence (queue/lane.ts): found in order without an index
        count INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,        -- of acceptance
        ttl_ms INTEGER NOT NULL,         -- the queue's time to live then; 0 for none
        flags INTEGER NOT NULL,          -- every field that some record has
        record_bytes INTEGER NOT NULL,
        producers TEXT,                  -- JSON: producer states that this publish brought
        bytes BLOB NOT NULL              -- one batch, last so that the others are read without it
      ) STRICT`,
      `CREATE TABLE progress (
        segment INTEGER PRIMARY KEY,
        settled BLOB NOT NULL,           -- a bit for each message that is gone
        settled_bytes INTEGER NOT NULL
      ) STRICT`,
      `CREATE TABLE lease (
        slot INTEGER PRIMARY KEY,        -- written over by a later lease; slot 0 carries a snapshot alone
        lease INTEGER NOT NULL,          -- 0 in slot 0
        consumer TEXT NOT NULL,
        consumer_id INTEGER NOT NULL,    -- the socket's number; 0: the lease belongs to no socket
        attempt_id TEXT,
        granted_ms INTEGER NOT NULL,
        until_ms INTEGER NOT NULL,
        runs TEXT NOT NULL,              -- JSON of LeaseRun[]
        outcomes BLOB,                   -- a byte for each message, when some is neither open nor acked
        version INTEGER NOT NULL,        -- the snapshot with the greatest version counts
        snapshot TEXT NOT NULL
      ) STRICT`,
      `CREATE TABLE returned (
        sequence INTEGER PRIMARY KEY,
        segment INTEGER NOT NULL,
        position INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        rank_ms INTEGER NOT NULL,        -- when it was first due: its place in the queue's order
        state INTEGER NOT NULL,          -- RETURN_STATE
        available_ms INTEGER NOT NULL,   -- when a waiting one becomes ready
        attempts INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        first_sent_ms INTEGER NOT NULL,
        redrives INTEGER NOT NULL,
        key TEXT,                        -- ordering key, where it holds its key back
        log TEXT NOT NULL,               -- JSON of AttemptLogEntry[]
        death TEXT                       -- JSON of StoredDeath, when parked or dead
      ) STRICT`,
      "CREATE INDEX returned_ready ON returned (priority, rank_ms, sequence) WHERE state = 1",
      "CREATE INDEX returned_waiting ON returned (available_ms) WHERE state = 0",
      "CREATE INDEX returned_stopped ON returned (state, sequence) WHERE state >= 3",
      "CREATE INDEX returned_key ON returned (key) WHERE key IS NOT NULL",
      `CREATE TABLE delayed (
        segment INTEGER PRIMARY KEY,
        lane INTEGER NOT NULL,
        due_ms INTEGER NOT NULL,         -- of the next message nobody took
        last_due_ms INTEGER NOT NULL,
        next_position INTEGER NOT NULL,
        remaining INTEGER NOT NULL
      ) STRICT`,
      "CREATE INDEX delayed_due ON delayed (lane, due_ms, segment)",
      "CREATE INDEX delayed_next ON delayed (due_ms)",
      `CREATE TABLE expiry (
        segment INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL           -- when the first of its waiting messages dies of age
      ) STRICT`,
      "CREATE INDEX expiry_at ON expiry (at_ms)",
      `CREATE TABLE blocked (
        key TEXT NOT NULL,               -- a key's line: messages the cursor has passed while the key was busy
        segment INTEGER NOT NULL,
        positions BLOB NOT NULL,         -- a bit for each message
        PRIMARY KEY (key, segment)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE drain (
        key TEXT PRIMARY KEY,            -- messages of the key before the sequence die when they come up
        before_sequence INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE dedup (
        id TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        until_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID`,
      "CREATE INDEX dedup_until ON dedup (until_ms)",
      `CREATE TABLE handle (
        kind TEXT NOT NULL,              -- cancelKey; id, where it was written before id_run was there
        value TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        segment INTEGER NOT NULL,
        PRIMARY KEY (kind, value)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE producer (
        id TEXT PRIMARY KEY,
        state TEXT NOT NULL,             -- JSON of ProducerState
        touched_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE inbound (
        sender TEXT PRIMARY KEY,         -- a queue that moves messages here
        number INTEGER NOT NULL,         -- the last move taken
        taken INTEGER                    -- how many of its messages, where only a part is
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE outbox (
        number INTEGER PRIMARY KEY,
        target TEXT NOT NULL,
        count INTEGER NOT NULL,
        not_before_ms INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        batch BLOB NOT NULL
      ) STRICT`,
      `CREATE TABLE task (
        task INTEGER PRIMARY KEY,
        state TEXT NOT NULL,
        row TEXT NOT NULL                -- JSON of TaskRow
      ) STRICT`,
      `CREATE TABLE garbage (
        reference TEXT PRIMARY KEY       -- a stored body whose message is gone
      ) STRICT, WITHOUT ROWID`,
    ],
  },
  {
    number: 2,
    sql: [
      `CREATE TABLE remote (
        id INTEGER PRIMARY KEY,          -- of a consumer whose socket is on a hub; never that of a socket here
        hub TEXT NOT NULL,
        session INTEGER NOT NULL,        -- on the hub
        name TEXT NOT NULL,
        credit INTEGER NOT NULL,
        lease_ms INTEGER,                -- null: the queue's own
        priority INTEGER NOT NULL,
        exclusive INTEGER NOT NULL,      -- 0 or 1
        until_ms INTEGER NOT NULL        -- when it is gone unless its hub renews it
      ) STRICT`,
    ],
  },
  {
    number: 3,
    // JSON: when a lease ends for messages whose time was changed on its own, by their place in it.
    sql: ["ALTER TABLE lease ADD COLUMN untils TEXT"],
  },
  {
    number: 4,
    // Who may settle: the subject that a lease was granted to, and who knows its key.
    sql: [
      "ALTER TABLE lease ADD COLUMN subject TEXT",
      "ALTER TABLE lease ADD COLUMN key TEXT",
      "ALTER TABLE remote ADD COLUMN subject TEXT",
    ],
  },
  {
    number: 5,
    sql: [
      `CREATE TABLE id_run (
        origin INTEGER NOT NULL,         -- of ids that messages have from elsewhere
        first INTEGER NOT NULL,          -- of so many numbers that follow one another
        segment INTEGER NOT NULL,        -- the row goes with it
        sequence INTEGER NOT NULL,       -- of the first one here
        count INTEGER NOT NULL,
        PRIMARY KEY (origin, first, segment)
      ) STRICT, WITHOUT ROWID`,
    ],
  },
  {
    number: 6,
    // 0: a bit for each message of the segment; 1: runs of sequences, from that of `segment` on (queue/line-rows.ts).
    sql: ["ALTER TABLE blocked ADD COLUMN form INTEGER NOT NULL DEFAULT 0"],
  },
];

/** What the common path touches not, and looks into all the same. */
export const SELDOM_USED_TABLES = [
  "progress",
  "returned",
  "delayed",
  "expiry",
  "blocked",
  "drain",
  "dedup",
  "handle",
  "id_run",
  "producer",
  "outbox",
  "task",
  "garbage",
] as const;

export const QUEUE_TABLES = [
  "queue",
  "segment",
  "lease",
  "inbound",
  "remote",
  ...SELDOM_USED_TABLES,
] as const;
