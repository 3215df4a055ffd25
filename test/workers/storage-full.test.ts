// A queue whose database takes no more.
import { reset, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it } from "vitest";
import type { QueueObject } from "../../src/objects/queue-object.ts";
import { messageId } from "../../src/protocol/batch.ts";
import type { SqlQueueStores } from "../../src/storage/queue-stores.ts";
import { batchOf, declare, must, type QueueStub } from "../support/queue-client.ts";

afterEach(() => reset());

/** From now on whatever needs a new row fails as SQLite does when it finds no page for it. */
async function fill(stub: QueueStub): Promise<void> {
  await runInDurableObject(stub, (object: QueueObject) => {
    const { segments } = (object as unknown as { stores: SqlQueueStores }).stores;
    const write = segments.write.bind(segments);
    segments.write = () => {
      if ((segments as unknown as { added: Map<number, unknown> }).added.size > 0)
        throw new Error("database or disk is full: SQLITE_FULL");
      write();
    };
  });
}

describe("a queue whose storage is full", () => {
  it("refuses publishes, and receives and acks in the same turn", async () => {
    const stub = await declare("full");
    must(await stub.publish({ batch: batchOf("a", "b", "c") }));
    const { lease } = must(await stub.receive({ consumer: "c", max: 1 }));
    await fill(stub);
    const [refused, settled, received] = await runInDurableObject(stub, (object: QueueObject) =>
      Promise.all([
        object.publish({ batch: batchOf("d") }),
        object.settle([{ lease, verdict: "ack" }]),
        object.receive({ consumer: "c", max: 2 }),
      ]),
    );
    expect(refused).toMatchObject({ ok: false, code: "queue_full" });
    expect(must(settled)).toMatchObject([{ settled: 1 }]);
    const rest = must(received);
    expect(rest.lease).toBeGreaterThan(0);
    expect(must(await stub.settle([{ lease: rest.lease, verdict: "ack" }]))).toMatchObject([{ settled: 2 }]);
    const { counts, totals } = must(await stub.inspect());
    expect(counts).toMatchObject({ ready: 0, leased: 0, bytes: 0 });
    expect(totals).toMatchObject({ published: 3, acked: 3 });
  });

  it("refuses a replacement, and keeps what was to be replaced", async () => {
    const stub = await declare("kept");
    const { origin } = must(await stub.publish({ batch: batchOf("a") }));
    const id = messageId(origin, 1);
    await fill(stub);
    expect(await stub.replace({ id }, batchOf("b"))).toMatchObject({ ok: false, code: "queue_full" });
    expect(must(await stub.inspect()).counts).toMatchObject({ ready: 1 });
  });
});
