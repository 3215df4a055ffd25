/**
 * As RabbitMQ's guides advise: publishing and consuming on connections of their own, a durable queue, persistent
 * messages, publisher confirms handled as they come, a prefetch, manual acks.
 */
import { connect } from "amqplib";
import type { ClientOptions, DurableClient } from "./client.ts";

const QUEUE = "bench";

export async function connectRabbit({ url, prefetch }: ClientOptions): Promise<DurableClient> {
  const publishing = await connect(url, { noDelay: true });
  const consuming = await connect(url, { noDelay: true });
  const publisher = await publishing.createConfirmChannel();
  const consumer = await consuming.createChannel();
  await publisher.assertQueue(QUEUE, { durable: true });
  await consumer.prefetch(prefetch);
  return {
    publish: (body, done) => {
      publisher.sendToQueue(QUEUE, body as Buffer, { persistent: true }, (error: unknown) =>
        done(error ?? undefined),
      );
    },
    consume: async (take) => {
      const { consumerTag } = await consumer.consume(QUEUE, (message) => {
        if (message === null) throw new Error("RabbitMQ ended the consumer");
        take(message.content);
        consumer.ack(message);
      });
      return {
        end: async () => {
          await consumer.cancel(consumerTag);
          // Acks are not answered. A question behind them on the same channel is.
          await consumer.checkQueue(QUEUE);
        },
      };
    },
    close: async () => {
      await publishing.close();
      await consuming.close();
    },
  };
}
