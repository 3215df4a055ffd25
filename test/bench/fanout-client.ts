/**
 * All subscribers of a fan-out and its publisher, in a process of their own:
 * `node fanout-client.ts <protocol> <url> <subscribers>`. It is told a round by message and answers with deliveries/s.
 *
 * Every subscriber checks that it gets every message whole, in order, once.
 */
import { bodyOf } from "./arrivals.ts";
import type { Link, Take } from "./fanout-link.ts";
import { linkMillrace } from "./fanout-millrace.ts";
import { linkMqtt } from "./fanout-mqtt.ts";

export type Protocol = "millrace" | "mqtt";

export interface FanoutRound {
  readonly round: number;
  readonly messages: number;
  readonly bodyBytes: number;
  /** Messages that were published and are not with all subscribers yet, at most. */
  readonly window: number;
}

export type FanoutTold = "ready" | { readonly perSecond: number } | { readonly error: string };

/** Connections that are opened at a time. */
const OPENING = 50;

class Fanout {
  private readonly subscribers: number;
  private publisher: Link | null = null;
  private round: FanoutRound = { round: 0, messages: 0, bodyBytes: 0, window: 0 };
  private body = Buffer.alloc(0);
  private published = 0;
  private delivered = 0;
  private complete: () => void = () => undefined;

  constructor(subscribers: number) {
    this.subscribers = subscribers;
  }

  async open(link: (number: number, take: Take | null) => Promise<Link>): Promise<void> {
    // First, because ours declares the exchange.
    this.publisher = await link(this.subscribers, null);
    for (let from = 0; from < this.subscribers; from += OPENING) {
      const some = Math.min(OPENING, this.subscribers - from);
      await Promise.all(Array.from({ length: some }, (_, i) => link(from + i, this.taker())));
    }
  }

  async play(round: FanoutRound): Promise<number> {
    this.round = round;
    this.body = bodyOf(round.round, 0, round.bodyBytes);
    this.published = this.delivered = 0;
    const complete = new Promise<void>((resolve) => (this.complete = resolve));
    const startedMs = performance.now();
    this.publish();
    await complete;
    return (this.delivered * 1_000) / (performance.now() - startedMs);
  }

  /** Of one subscriber. */
  private taker(): Take {
    let round = 0;
    let next = 0;
    return (bytes, start, end) => {
      if (round !== this.round.round) {
        ({ round } = this.round);
        next = 0;
      }
      this.body.writeUInt32LE(next++, 4);
      if (bytes.compare(this.body, 0, this.body.length, start, end) !== 0) {
        throw new Error(`round ${round}: a subscriber did not get message ${next - 1}, but another`);
      }
      this.delivered++;
      const { messages, window } = this.round;
      if (this.delivered === messages * this.subscribers) this.complete();
      else if (this.delivered >= (this.published - (window >> 1)) * this.subscribers) this.publish();
    };
  }

  private publish(): void {
    const { round, messages, bodyBytes, window } = this.round;
    const room = window - (this.published - Math.floor(this.delivered / this.subscribers));
    const count = Math.min(room, messages - this.published);
    if (count <= 0) return;
    const from = this.published;
    this.published += count;
    this.publisher!.publish(Array.from({ length: count }, (_, i) => bodyOf(round, from + i, bodyBytes)));
  }
}

const [protocol, url, subscribers] = process.argv.slice(2) as [Protocol, string, string];
const tell = (told: FanoutTold): void => void process.send!(told);
process.on("uncaughtException", (error) => tell({ error: String(error) }));
const fanout = new Fanout(Number(subscribers));
process.on("message", (round: FanoutRound | "end") => {
  if (round === "end") process.exit();
  void fanout.play(round).then((perSecond) => tell({ perSecond }));
});
await fanout.open((number, take) =>
  protocol === "mqtt" ? linkMqtt(url, number, take) : linkMillrace(url, take),
);
tell("ready");
