// The stores' contract on the storage of a real object. In Node the same suite runs over Node's SQLite.
import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach } from "vitest";
import { QUEUE_MIGRATIONS, SELDOM_USED_TABLES } from "../../src/storage/queue-schema.ts";
import { SqlQueueStores } from "../../src/storage/queue-stores.ts";
import { Sql } from "../../src/storage/sql.ts";
import { queueStoresContract } from "../contract/queue-stores.ts";

let storage: SqlStorage;

afterEach(async () => {
  await reset();
});

queueStoresContract(
  "SqlQueueStores over a Durable Object's SQLite",
  () => ({ stores: new SqlQueueStores(new Sql(storage, SELDOM_USED_TABLES, QUEUE_MIGRATIONS)) }),
  (body) =>
    // Only inside an object may its storage be used.
    runInDurableObject(env.QUEUES.getByName("test/stores"), (_object, state) => {
      storage = state.storage.sql;
      body();
    }),
);
