import { connect } from "../../../src/client/index.ts";
import type { ClientOptions, DurableClient } from "./client.ts";

export async function connectMillrace({ url, prefetch }: ClientOptions): Promise<DurableClient> {
  const client = connect({ url });
  const queue = client.queue("bench");
  await queue.declare();
  return {
    publish: (body, done) => void queue.publish(body).then(() => done(), done),
    publishMany: (bodies) => queue.publishMany(bodies.map((body) => ({ body }))),
    consume: async (take) => {
      const consumer = queue.consume((message) => take(message.body), { credit: prefetch });
      await consumer.ready;
      return { end: () => consumer.drain() };
    },
    close: async () => client.close(),
  };
}
