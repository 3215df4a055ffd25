import { QUEUE_MIGRATIONS, SELDOM_USED_TABLES } from "../../../src/storage/queue-schema.ts";
import { migrate } from "../../../src/storage/migrations.ts";
import { SqlQueueStores } from "../../../src/storage/queue-stores.ts";
import { Sql } from "../../../src/storage/sql.ts";
import { queueStoresContract } from "../../contract/queue-stores.ts";
import { NodeSql } from "../../support/node-sql.ts";

queueStoresContract("SqlQueueStores over SQLite in Node", () => {
  const sql = new NodeSql();
  migrate(sql.storage, QUEUE_MIGRATIONS);
  return { stores: new SqlQueueStores(new Sql(sql.storage, SELDOM_USED_TABLES)), done: () => sql.close() };
});
