/**
 * Subscribers of one exchange, each on a socket of its own. The sockets' other ends are in this process, on the same two
 * cores; what the broker alone took is its CPU time.
 */
import { Audience, declareExchange, route } from "./cost-exchange-flows.ts";
import { startCountedBroker } from "./counted-broker.ts";
import { short } from "./plot.ts";
import { printTable } from "./report.ts";
import { ask, Wire } from "./wire.ts";

const EVENTS_PER_PUBLISH = 10;

export interface SubscriberPoint {
  readonly subscribers: number;
  readonly hubs: number;
  readonly deliveriesPerSecond: number;
  readonly cpuMicros: number;
  readonly bytesPerSubscriber: number;
}

export async function scaleSubscribers(
  counts: readonly number[],
  deliveries: number,
): Promise<SubscriberPoint[]> {
  const points: SubscriberPoint[] = [];
  const broker = await startCountedBroker();
  try {
    const exchange = await declareExchange(broker.url);
    // First, so that it has a place on the hub that fills first.
    const session = await Wire.open(broker.url);
    const audience = new Audience();
    const emptyBytes = broker.residentBytes();
    for (const subscribers of counts) {
      console.error(`subscribers: ${subscribers.toLocaleString("en")}`);
      await audience.grow(broker.url, exchange, "orders.#", subscribers);
      const bytes = broker.residentBytes() - emptyBytes;
      const round = (): Promise<void> =>
        audience.expect(EVENTS_PER_PUBLISH * subscribers, () =>
          route(session, exchange, EVENTS_PER_PUBLISH, 0),
        );
      await round();
      const rounds = Math.max(3, Math.round(deliveries / (EVENTS_PER_PUBLISH * subscribers)));
      const cpuBeforeMs = broker.cpuMs();
      const started = performance.now();
      for (let i = 0; i < rounds; i++) await round();
      const delivered = rounds * EVENTS_PER_PUBLISH * subscribers;
      points.push({
        subscribers,
        hubs: await hubsOf(broker.url, exchange),
        deliveriesPerSecond: (delivered * 1_000) / (performance.now() - started),
        cpuMicros: ((broker.cpuMs() - cpuBeforeMs) * 1_000) / delivered,
        bytesPerSubscriber: bytes / subscribers,
      });
    }
    audience.close();
  } finally {
    await broker.stop();
  }
  print(points);
  return points;
}

async function hubsOf(url: string, exchange: string): Promise<number> {
  const { hubs } = await ask<{ hubs: unknown[] | number }>(url, "GET", `/v1/exchanges/${exchange}`);
  return typeof hubs === "number" ? hubs : hubs.length;
}

function print(points: readonly SubscriberPoint[]): void {
  console.log(
    `\nSubscribers of one exchange, ${EVENTS_PER_PUBLISH} events of 100 bytes in a publish, each awaited`,
  );
  printTable(
    ["subscribers", "hubs", "deliveries/s", "broker's CPU µs per delivery", "kB per subscriber"],
    points.map((point) => [
      short(point.subscribers),
      String(point.hubs),
      Math.round(point.deliveriesPerSecond).toLocaleString("en"),
      point.cpuMicros.toFixed(2),
      (point.bytesPerSubscriber / 1_000).toFixed(1),
    ]),
  );
}
