/**
 * As NATS's guides advise for speed: published without waiting for each acknowledgement, consumed by a callback over a
 * pull consumer that asks for more before it runs dry, each message acked explicitly. A stream of the kind `workqueue`
 * drops what is acked, as a queue does.
 */
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { ClientOptions, DurableClient } from "./client.ts";

const STREAM = "bench";
const SUBJECT = "bench.messages";
const DURABLE = "worker";

export async function connectNats({ url, prefetch }: ClientOptions): Promise<DurableClient> {
  const publishing = await connect({ servers: url });
  const consuming = await connect({ servers: url });
  const manager = await jetstreamManager(publishing);
  await manager.streams.add({
    name: STREAM,
    subjects: [SUBJECT],
    storage: StorageType.File,
    retention: RetentionPolicy.Workqueue,
  });
  await manager.consumers.add(STREAM, {
    durable_name: DURABLE,
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: prefetch,
  });
  const publisher = jetstream(publishing, { timeout: 30_000 });
  const consumer = await jetstream(consuming).consumers.get(STREAM, DURABLE);
  return {
    publish: (body, done) => void publisher.publish(SUBJECT, body).then(() => done(), done),
    consume: async (take) => {
      const messages = await consumer.consume({
        max_messages: prefetch,
        callback: (message) => {
          take(message.data);
          message.ack();
        },
      });
      return {
        end: async () => {
          messages.stop();
          // Acks are not answered. A ping behind them is.
          await consuming.flush();
        },
      };
    },
    close: async () => {
      await publishing.close();
      await consuming.close();
    },
  };
}
