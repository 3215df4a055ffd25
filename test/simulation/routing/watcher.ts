/**
 * A subscriber through the SDK, that holds against the truth what it is told. Between the last event it was given and
 * the next there must be none that matches, unless it was told of a gap.
 */
import type { ExchangeEvent } from "../../../src/client/event.ts";
import type { Client } from "../../../src/client/client.ts";
import type { SubscribeOptions } from "../../../src/client/subscription-options.ts";
import type { Subscription } from "../../../src/client/subscription.ts";
import { matches } from "../../../src/routing/topic.ts";
import { check } from "../checkers.ts";
import type { Truth, TrueEvent } from "./truth.ts";

export interface WatcherPorts {
  readonly truth: Truth;
  readonly say: (line: string) => void;
  /** How long the handler takes for an event. */
  readonly busyMs: () => number;
  readonly later: (delayMs: number, run: () => void) => void;
  readonly failed: (error: unknown) => void;
}

export class Watcher {
  readonly name: string;
  readonly exchange: string;
  readonly pattern: string;
  readonly options: SubscribeOptions;
  readonly subscription: Subscription;
  readonly received = new Set<string>();
  gaps = 0;
  recoveries = 0;
  stale = 0;
  private readonly ports: WatcherPorts;
  private hasBegun = false;
  /** The last event seen, or where events begin; null before either is known. */
  private cursor: { epoch: string; offset: number } | null = null;
  /** The numbering when it last became live, or was told of a gap. */
  private floor: string | null = null;
  private isGapOpen = false;
  /** With conflation events before here may be missing: it was told so. */
  private conflatedUntil: TrueEvent | null = null;
  /** Passed over at the change of a numbering: none of them may have been confirmed. */
  private readonly passedOver: TrueEvent[] = [];

  constructor(
    name: string,
    place: { client: Client; exchange: string; pattern: string },
    options: SubscribeOptions,
    ports: WatcherPorts,
  ) {
    this.name = name;
    this.exchange = place.exchange;
    this.pattern = place.pattern;
    this.options = options;
    this.ports = ports;
    const guarded = (run: () => void): void => {
      try {
        run();
      } catch (error) {
        ports.failed(error);
      }
    };
    this.subscription = place.client.exchange(place.exchange).subscribe(
      place.pattern,
      (event) => {
        guarded(() => this.event(event));
        const busyMs = ports.busyMs();
        if (busyMs > 0) return new Promise<void>((resolve) => ports.later(busyMs, resolve));
        return undefined;
      },
      {
        ...options,
        onGap: (gap) => guarded(() => this.gap(gap.reason)),
        onRecovered: ({ cause }) => {
          this.recoveries++;
          this.say(`recovered (${cause})`);
        },
        onState: (state) => {
          if (state === "live") {
            this.floor = ports.truth.epoch(place.exchange);
            queueMicrotask(() => this.begin());
          }
          this.say(state);
        },
        onError: (error) => this.say(`ends: ${error.message}`),
      },
    );
    this.begin();
  }

  private say(line: string): void {
    this.ports.say(`${this.name} ${this.exchange} ${this.pattern}: ${line}`);
  }

  /** Live for the first time: what was asked for, or where the broker stood. */
  private begin(): void {
    if (this.hasBegun || this.subscription.state !== "live") return;
    this.hasBegun = true;
    const position = this.subscription.position ?? this.options.since;
    if (position === undefined) return;
    const [epoch = "", offset = ""] = position.split(":");
    // A place in an earlier numbering says nothing about what of the present one came before.
    const isPresent = this.options.since !== undefined || epoch === this.ports.truth.epoch(this.exchange);
    if (isPresent) this.cursor = { epoch, offset: Number(offset) };
  }

  private gap(reason: string): void {
    this.gaps++;
    this.isGapOpen = true;
    // A late push made the SDK ask from an earlier numbering: it is told all of the present one again.
    if (reason === "new_epoch" && this.stale > 0) this.cursor = null;
    this.floor = this.ports.truth.epoch(this.exchange);
    this.say(`gap (${reason})`);
    if (this.options.onSlow === "conflate") this.conflatedUntil = this.ports.truth.last(this.exchange);
  }

  private event(event: ExchangeEvent): void {
    const { truth } = this.ports;
    const { epoch, offset, from } = event;
    const real = truth.event(this.exchange, epoch, offset);
    const shown = `${epoch}:${offset} ${event.correlationId} ${from ?? "live"}`;
    this.say(`← ${shown}`);
    check(real?.id === event.correlationId, "no such event", () => `${this.name} got ${shown}`);
    check(matches(this.pattern, real!.topic), "wrong topic", () => `${this.pattern} got "${real!.topic}"`);
    this.received.add(real!.id);
    if (from === "snapshot") return;
    if (this.isStale(epoch)) {
      this.stale++;
      return;
    }
    if (this.cursor !== null) this.judge(event, shown);
    this.cursor = { epoch, offset };
    this.isGapOpen = false;
  }

  private judge(event: ExchangeEvent, shown: string): void {
    const { truth } = this.ports;
    const { cursor } = this;
    if (cursor === null) return;
    const { epoch, offset } = event;
    const isLater = cursor.epoch !== epoch || offset > cursor.offset;
    check(
      isLater,
      "offsets ascend",
      () => `${this.name} got ${shown} after ${cursor.epoch}:${cursor.offset}`,
    );
    if (this.isGapOpen) return;
    const missed = truth
      .after(this.exchange, cursor.epoch, cursor.offset)
      .filter((one) => matches(this.pattern, one.topic) && isBefore(one, event, truth))
      .filter((one) => !this.isConflated(one));
    const inside = missed.filter((one) => one.epoch === epoch);
    check(inside.length === 0, "no silent hole", () => `${this.name} got ${shown} without ${told(inside)}`);
    // Of an earlier numbering what was not confirmed may be gone with it.
    this.passedOver.push(...missed);
  }

  /** A push of an exchange that has since begun anew may come late. It says nothing about what follows. */
  private isStale(epoch: string): boolean {
    const { truth } = this.ports;
    const ages = [this.cursor?.epoch, this.floor].map((one) => truth.age(this.exchange, one ?? ""));
    return truth.age(this.exchange, epoch) < Math.max(...ages);
  }

  private isConflated({ epoch, offset }: TrueEvent): boolean {
    const until = this.conflatedUntil;
    return until !== null && (until.epoch !== epoch || offset <= until.offset);
  }

  /** When all is quiet, after a last event. */
  end(lastId: string | null): void {
    const { truth } = this.ports;
    for (const one of this.passedOver) {
      const isLost = truth.confirmed.has(one.id) && !this.received.has(one.id);
      check(!isLost, "no silent hole", () => `${this.name} never got ${told([one])}`);
    }
    if (this.subscription.state === "closed") return;
    check(
      this.subscription.state === "live",
      "comes back",
      () => `${this.name} is ${this.subscription.state}`,
    );
    if (lastId !== null) {
      const isHeard = this.received.has(lastId) || this.isGapOpen;
      check(isHeard, "hears the last", () => `${this.name} never got ${lastId}`);
    }
    if (this.cursor === null || this.isGapOpen) return;
    const missed = truth
      .after(this.exchange, this.cursor.epoch, this.cursor.offset)
      .filter((one) => matches(this.pattern, one.topic) && truth.confirmed.has(one.id))
      .filter((one) => !this.isConflated(one));
    check(missed.length === 0, "no silent hole", () => `${this.name} never got ${told(missed)}`);
  }
}

function isBefore(one: TrueEvent, event: ExchangeEvent, truth: Truth): boolean {
  if (one.epoch === event.epoch) return one.offset < event.offset;
  return truth.age(one.exchange, one.epoch) < truth.age(one.exchange, event.epoch);
}

function told(events: readonly TrueEvent[]): string {
  return events.map(({ epoch, offset, id }) => `${epoch}:${offset} ${id}`).join(", ");
}
