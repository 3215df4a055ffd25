/**
 * One competing consumer, in a process of its own so that it can really crash. It reports each ack once the broker
 * has stored it.
 *
 *   --name N          what the broker's log calls it
 *   --crash-after N   kills itself without a goodbye after so many acks, with messages in hand
 *   --guess-zones     the mended version of the code
 *   --events E        tells an exchange what became of each airport, for the map
 */
import { parseArgs } from "node:util";
import { connect, type Message } from "../../src/client/index.ts";
import { boardLine, type Airport } from "./airports.ts";
import type { AirportEvent } from "../map/event.ts";

export type Report =
  | { readonly type: "acked"; readonly id: string }
  | { readonly type: "failed" }
  | { readonly type: "crashing"; readonly held: number };

const { values } = parseArgs({
  options: {
    url: { type: "string" },
    name: { type: "string" },
    "crash-after": { type: "string" },
    "guess-zones": { type: "boolean", default: false },
    events: { type: "string" },
  },
});
const crashAfter = Number(values["crash-after"] ?? Number.POSITIVE_INFINITY);
/** One in so many fails for no reason of its own, as calls to other services do. */
const FLAKY = 40;

const client = connect({ url: values.url! });
let acked = 0;
let unanswered = 0;
let held = 0;

const consumer = client.queue("airports").consume(work, {
  name: values.name!,
  credit: 40,
  ack: "manual",
  onError: () => report({ type: "failed" }),
});

async function work(message: Message): Promise<void> {
  if (acked >= crashAfter) return hold();
  try {
    boardLine(message.json<Airport>(), values["guess-zones"]);
    if (message.attempt === 1 && message.sequence % FLAKY === 0)
      throw new Error("the weather service did not answer");
  } catch (error) {
    tell(message, "failed");
    throw error;
  }
  unanswered++;
  await message.ack();
  unanswered--;
  acked++;
  report({ type: "acked", id: message.id });
  tell(message, "worked");
}

/** The map may miss an event when this process is killed; the account does not depend on it. */
function tell({ routingKey = "", attempt }: Message, outcome: AirportEvent["outcome"]): void {
  if (values.events === undefined) return;
  const event: AirportEvent = { outcome, by: values.name!, attempt };
  client
    .exchange(values.events)
    .publish(routingKey, event)
    .catch(() => undefined);
}

/** Keeps the message, and dies once nothing that was acked is still unreported. */
async function hold(): Promise<void> {
  held++;
  if (held > 3 && unanswered === 0) {
    report({ type: "crashing", held });
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.kill(process.pid, "SIGKILL");
  }
  await new Promise(() => undefined);
}

function report(what: Report): void {
  process.send?.(what);
}

process.once("message", () => {
  void consumer.drain().then(() => {
    client.close();
    process.disconnect();
  });
});
