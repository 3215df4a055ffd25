import type { Migration } from "./migrations.ts";

export const EXCHANGE_MIGRATIONS: readonly Migration[] = [
  {
    number: 1,
    sql: [
      `CREATE TABLE exchange (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        stored TEXT NOT NULL             -- StoredExchange, as JSON
      ) STRICT`,
      `CREATE TABLE counter (
        name TEXT PRIMARY KEY,           -- binding, move, delayed
        value INTEGER NOT NULL           -- the last number given
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE binding (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,              -- of the destination: queue or exchange
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        headers TEXT                     -- HeadersFilter, as JSON
      ) STRICT`,
      `CREATE TABLE history (
        first INTEGER PRIMARY KEY,       -- offset of the first event
        count INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,
        bytes_so_far INTEGER NOT NULL,   -- of this row's batch and all before it, deleted ones too
        pushed INTEGER NOT NULL,         -- the offset that every hub had reached when this was written
        batch BLOB NOT NULL              -- stamped with epoch, first offset and time
      ) STRICT`,
      `CREATE TABLE last_value (
        topic TEXT PRIMARY KEY,
        event INTEGER NOT NULL,          -- its offset
        time_ms INTEGER NOT NULL,
        batch BLOB NOT NULL              -- of the one event
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE hub (
        name TEXT PRIMARY KEY,
        attachment INTEGER NOT NULL,     -- tells it from earlier ones
        until_ms INTEGER NOT NULL        -- when its lease ends
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE delayed (
        due_ms INTEGER NOT NULL,
        number INTEGER NOT NULL,
        count INTEGER NOT NULL,
        must_route INTEGER NOT NULL,     -- 1: held until some binding leads to a queue
        batch BLOB NOT NULL,
        PRIMARY KEY (due_ms, number)
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE inbound (
        sender TEXT PRIMARY KEY,         -- a queue that moves messages here
        number INTEGER NOT NULL,         -- the last move taken
        taken INTEGER                    -- never used here: an exchange takes a move whole
      ) STRICT, WITHOUT ROWID`,
      `CREATE TABLE outbox (
        number INTEGER PRIMARY KEY,
        target TEXT NOT NULL,
        count INTEGER NOT NULL,
        not_before_ms INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        batch BLOB NOT NULL
      ) STRICT`,
    ],
  },
];

export const EXCHANGE_TABLES = [
  "exchange",
  "counter",
  "binding",
  "history",
  "last_value",
  "hub",
  "delayed",
  "inbound",
  "outbox",
] as const;
