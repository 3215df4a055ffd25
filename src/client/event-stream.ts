/** Events one by one, for `for await`. */
import { MillraceError } from "./errors.ts";
import type { ExchangeEvent } from "./event.ts";
import { Fifo } from "./fifo.ts";
import type { EventHandler } from "./subscription-options.ts";
import type { Subscription } from "./subscription.ts";

interface Waiter {
  readonly resolve: (result: IteratorResult<ExchangeEvent>) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Leaving the loop, by `break` or by an error, ends the subscription. The loop ends when the subscription does, and
 * throws what ended it. When the loop stands still, events are held up to `bufferEvents`; then the broker is not told
 * any more that they are read, and does what `onSlow` says.
 */
export class EventStream implements AsyncIterableIterator<ExchangeEvent> {
  readonly subscription: Subscription;
  private readonly waiting = new Fifo<Waiter>();
  private offered: { readonly event: ExchangeEvent; readonly taken: () => void } | null = null;
  private ended: { error: Error | null } | null = null;

  /** @internal Made by `exchange.subscribe`. */
  constructor(subscribe: (handler: EventHandler) => Subscription) {
    this.subscription = subscribe((event) => this.offer(event));
    this.subscription.closed.then(
      () => this.finish(null),
      (error: unknown) => this.finish(error as MillraceError),
    );
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ExchangeEvent>> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.serve();
    });
  }

  async return(): Promise<IteratorResult<ExchangeEvent>> {
    this.offered = null;
    await this.subscription.unsubscribe();
    return { done: true, value: undefined };
  }

  private offer(event: ExchangeEvent): Promise<void> {
    return new Promise((taken) => {
      this.offered = { event, taken };
      this.serve();
    });
  }

  private serve(): void {
    if (this.waiting.size === 0) return;
    const { offered } = this;
    if (offered !== null) {
      this.offered = null;
      this.waiting.shift()!.resolve({ done: false, value: offered.event });
      offered.taken();
      return;
    }
    for (let waiter = this.ended && this.waiting.shift(); waiter; waiter = this.waiting.shift()) {
      if (this.ended?.error) waiter.reject(this.ended.error);
      else waiter.resolve({ done: true, value: undefined });
    }
  }

  private finish(error: MillraceError | null): void {
    this.ended ??= { error };
    this.serve();
  }
}
