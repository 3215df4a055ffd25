/** Ways through exchanges and hubs: to queues, to subscribers, and calls with their replies. */
import { BODY, declareQueue, expectAcked, openConsumer, takeAll, type Flow } from "./cost-queue-flows.ts";
import { ask, batchOf, Wire } from "./wire.ts";

const TEXT = "x".repeat(100);
const SEEN_FRAMES = 16;

let exchanges = 0;

export async function declareExchange(url: string): Promise<string> {
  const exchange = `e${exchanges++}`;
  await ask(url, "PUT", `/v1/exchanges/${exchange}`, {});
  return exchange;
}

/** The publishing session's part: a batch, all of which must be matched by so many bindings. */
export async function route(session: Wire, exchange: string, size: number, bindings: number): Promise<void> {
  const records = Array.from({ length: size }, () => ({ routingKey: "orders.eu.created", body: BODY }));
  session.send({ type: "publish", ref: 1, exchange }, batchOf(records));
  const { head } = await session.next("routed");
  const isRight = head.matched.length === size && head.matched.every((count) => count === bindings);
  if (!isRight || head.failed.length > 0) throw new Error(`routed ${JSON.stringify(head)}`);
}

export function throughExchange(name: string, bound: number, size: number, rounds: number): Flow {
  return {
    name,
    unit: "message",
    async prepare(url) {
      const exchange = await declareExchange(url);
      const session = await Wire.open(url);
      const queues: string[] = [];
      const consumers: Wire[] = [];
      for (let i = 0; i < bound; i++) {
        const queue = await declareQueue(url);
        const binding = { destination: { queue }, key: "orders.#" };
        await ask(url, "POST", `/v1/exchanges/${exchange}/bindings`, binding);
        queues.push(queue);
        consumers.push(await openConsumer(url, queue, 2 * size));
      }
      const round = async (): Promise<void> => {
        await route(session, exchange, size, bound);
        await Promise.all(consumers.map((consumer) => takeAll(consumer, size)));
      };
      for (let i = 0; i < 3; i++) await round();
      return async () => {
        for (let i = 0; i < rounds; i++) await round();
        for (const queue of queues) await expectAcked(url, queue, (rounds + 3) * size);
        for (const wire of [session, ...consumers]) wire.close();
        return rounds * size;
      };
    },
  };
}

/** Counts what comes to it, and says `seen` as a client must. */
export class Subscriber {
  events = 0;
  private frames = 0;
  private readonly wire: Wire;

  private constructor(wire: Wire, arrived: (count: number) => void) {
    this.wire = wire;
    wire.onEvents = (_, { offsets = [] }) => {
      const count = offsets.reduce((sum, [, run]) => sum + run, 0);
      this.events += count;
      if (++this.frames % SEEN_FRAMES === 0) wire.send({ type: "seen", frames: this.frames });
      arrived(count);
    };
  }

  static async open(
    url: string,
    exchange: string,
    pattern: string,
    arrived: (count: number) => void,
  ): Promise<Subscriber> {
    const wire = await Wire.open(url);
    const subscriber = new Subscriber(wire, arrived);
    wire.send({ type: "subscribe", ref: 1, exchange, pattern, format: "binary" });
    await wire.next("subscribed");
    return subscriber;
  }

  close(): void {
    this.wire.close();
  }
}

/** Subscribers, some of them at a time, and how to wait for what comes to all of them together. */
export class Audience {
  readonly members: Subscriber[] = [];
  private arrived = 0;
  private wanted = Number.POSITIVE_INFINITY;
  private wake: (() => void) | null = null;

  async grow(url: string, exchange: string, pattern: string, count: number): Promise<void> {
    const arrived = (events: number): void => {
      this.arrived += events;
      if (this.arrived >= this.wanted) this.wake?.();
    };
    while (this.members.length < count) {
      const some = Math.min(50, count - this.members.length);
      const opening = Array.from({ length: some }, () => Subscriber.open(url, exchange, pattern, arrived));
      this.members.push(...(await Promise.all(opening)));
    }
  }

  /** Until so many more events came than had when it was called. */
  async expect(events: number, publish: () => Promise<void>): Promise<void> {
    this.wanted = this.arrived + events;
    const all = new Promise<void>((resolve) => (this.wake = resolve));
    await publish();
    if (this.arrived < this.wanted) await all;
    if (this.arrived > this.wanted) throw new Error(`${this.arrived - this.wanted} events too many came`);
  }

  close(): void {
    for (const member of this.members) member.close();
  }
}

/** One exchange, one hub. `hears`: whether the subscribers' pattern matches what is published. */
export function fanOut(
  name: string,
  options: { subscribers: number; hears: boolean; size: number; rounds: number },
): Flow {
  const { subscribers, hears, size, rounds } = options;
  return {
    name,
    unit: hears ? "delivery" : "event",
    async prepare(url) {
      const exchange = await declareExchange(url);
      const session = await Wire.open(url);
      const audience = new Audience();
      await audience.grow(url, exchange, hears ? "orders.#" : "stock.#", subscribers);
      const expected = hears ? size * subscribers : 0;
      const round = (): Promise<void> => audience.expect(expected, () => route(session, exchange, size, 0));
      for (let i = 0; i < 3; i++) await round();
      return async () => {
        for (let i = 0; i < rounds; i++) await round();
        const right = hears ? (rounds + 3) * size : 0;
        const wrong = audience.members.filter(({ events }) => events !== right);
        if (wrong.length > 0) throw new Error(`${wrong.length} subscribers did not get ${right} events`);
        audience.close();
        session.close();
        return rounds * size * (hears ? subscribers : 1);
      };
    },
  };
}

/** Two sessions: one calls, the other answers and acks. */
export function calls(name: string, inFlight: number, rounds: number): Flow {
  return {
    name,
    unit: "call",
    async prepare(url) {
      const queue = await declareQueue(url);
      const caller = await Wire.open(url);
      const responder = await Wire.open(url);
      responder.send({ type: "consume", ref: 1, queue, credit: 2 * inFlight, format: "json" });
      await responder.next("consuming");
      let ref = 0;
      const answer = async (): Promise<void> => {
        for (let answered = 0; answered < inFlight;) {
          const { lease, messages = [] } = (await responder.next("deliver")).head;
          for (const { replyTo: to = "", correlationId = "" } of messages) {
            responder.send({ type: "reply", ref: 2, to, correlationId, messages: [{ body: TEXT }] });
          }
          for (const _ of messages) await responder.next("replied");
          responder.send({ type: "settle", ref: 3, queue, settlements: [{ lease, verdict: "ack" }] });
          await responder.next("settled");
          answered += messages.length;
        }
      };
      const round = async (): Promise<void> => {
        const refs = new Set<number>();
        for (let i = 0; i < inFlight; i++) {
          refs.add(++ref);
          caller.send({ type: "call", ref, queue, timeoutMs: 30_000, messages: [{ body: TEXT }] });
        }
        const answered = answer();
        for (let i = 0; i < inFlight; i++) {
          const { head } = await caller.next("reply");
          if (!refs.delete(head.ref) || head.error !== undefined) throw new Error(JSON.stringify(head));
        }
        await answered;
      };
      for (let i = 0; i < 3; i++) await round();
      return async () => {
        for (let i = 0; i < rounds; i++) await round();
        await expectAcked(url, queue, (rounds + 3) * inFlight);
        caller.close();
        responder.close();
        return rounds * inFlight;
      };
    },
  };
}
