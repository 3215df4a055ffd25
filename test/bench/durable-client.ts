/**
 * Producer or consumer of a durable contest, or both, in a process of their own: `node durable-client.ts <library> <options>`.
 * It is told its part of a round by message, and answers when that is done. Producer and consumer may be one process or two.
 */
import { Arrivals, bodyOf } from "./arrivals.ts";
import type { ClientOptions, DurableClient } from "./clients/client.ts";
import { connectMillrace } from "./clients/millrace.ts";
import { connectNats } from "./clients/nats.ts";
import { connectRabbit } from "./clients/rabbitmq.ts";

export type Library = "millrace" | "rabbitmq" | "nats";
export type Style =
  /** `publish` for each message, up to `window` of them not yet confirmed. */
  | "pipelined"
  /** Calls with many messages, where the library has that. */
  | "many"
  /** The next message when the one before is confirmed. */
  | "awaited";

/** What one process does in a round. */
export interface Part {
  readonly role: "consume" | "produce";
  readonly round: number;
  readonly style: Style;
  readonly messages: number;
  readonly bodyBytes: number;
  /** Messages on their way to a confirm at most. */
  readonly window: number;
}

export interface Told {
  readonly role: Part["role"];
  /** `consuming`: the broker has taken the consumer. `done`: all is confirmed, or arrived and acked. */
  readonly what: "consuming" | "done" | "failed";
  readonly error?: string;
}

const MANY = 500;
const CONNECT: Record<Library, (options: ClientOptions) => Promise<DurableClient>> = {
  millrace: connectMillrace,
  rabbitmq: connectRabbit,
  nats: connectNats,
};

async function consume(client: DurableClient, { round, messages, bodyBytes }: Part): Promise<void> {
  const arrivals = new Arrivals(round, messages, bodyBytes);
  const consuming = await client.consume((body) => arrivals.take(body));
  tell({ role: "consume", what: "consuming" });
  await arrivals.complete;
  await consuming.end();
}

const PUBLISH: Record<Style, (client: DurableClient, part: Part) => Promise<void>> = {
  pipelined: (client, { round, messages, bodyBytes, window }) =>
    new Promise((resolve, reject) => {
      let published = 0;
      let open = 0;
      const done = (error?: unknown): void => {
        if (error !== undefined) return reject(error);
        open--;
        if (open === 0 && published === messages) resolve();
        // Not one by one: whoever publishes in a loop finds room for many after a confirm of many.
        else if (open === window >> 1) fill();
      };
      const fill = (): void => {
        for (; open < window && published < messages; published++) {
          open++;
          client.publish(bodyOf(round, published, bodyBytes), done);
        }
      };
      fill();
    }),
  many: async (client, { round, messages, bodyBytes, window }) => {
    const inFlight = new Set<Promise<unknown>>();
    for (let from = 0; from < messages; from += MANY) {
      const bodies = Array.from({ length: Math.min(MANY, messages - from) }, (_, i) =>
        bodyOf(round, from + i, bodyBytes),
      );
      const published = client.publishMany!(bodies).finally(() => inFlight.delete(published));
      inFlight.add(published);
      if (inFlight.size * MANY >= window) await Promise.race(inFlight);
    }
    await Promise.all(inFlight);
  },
  awaited: async (client, { round, messages, bodyBytes }) => {
    for (let i = 0; i < messages; i++) {
      await new Promise<void>((resolve, reject) =>
        client.publish(bodyOf(round, i, bodyBytes), (error) =>
          error === undefined ? resolve() : reject(error),
        ),
      );
    }
  },
};

function tell(told: Told): void {
  process.send!(told);
}

async function play(client: DurableClient, part: Part): Promise<void> {
  const { role, style } = part;
  try {
    await (role === "consume" ? consume(client, part) : PUBLISH[style](client, part));
    tell({ role, what: "done" });
  } catch (error) {
    tell({ role, what: "failed", error: String(error) });
  }
}

const [library, options] = process.argv.slice(2) as [Library, string];
const client = await CONNECT[library](JSON.parse(options) as ClientOptions);
process.on("message", (message: Part | "end") => {
  if (message === "end") void client.close().then(() => process.disconnect());
  else void play(client, message);
});
process.send!("ready");
