/** Messages one by one, for `for await`. */
import type { Consumer } from "./consumer.ts";
import { MillraceError } from "./errors.ts";
import { Fifo } from "./fifo.ts";
import type { ConsumeOptions, Handler } from "./handler.ts";
import { Retry, type Message } from "./message.ts";

interface Offered {
  readonly message: Message;
  readonly done: () => void;
  readonly giveBack: (why: Retry) => void;
}

/**
 * The message in hand is acked when the loop comes back for the next. Leaving the loop, by `break` or by an error,
 * gives it back (a failure must be said: `await message.reject()`), and ends the consumer. The loop ends when the
 * consumer does, and throws what ended it.
 */
export class MessageStream implements AsyncIterableIterator<Message> {
  readonly consumer: Consumer;
  private readonly offered = new Fifo<Offered>();
  private readonly waiting = new Fifo<{
    resolve: (result: IteratorResult<Message>) => void;
    reject: (error: Error) => void;
  }>();
  private inHand: Offered | null = null;
  private ended: { error: Error | null } | null = null;

  constructor(consume: (handler: Handler, options: ConsumeOptions) => Consumer, options: ConsumeOptions) {
    this.consumer = consume((message) => this.offer(message), options);
    this.consumer.closed.then(
      () => this.finish(null),
      (error: unknown) => this.finish(error as MillraceError),
    );
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Message>> {
    this.inHand?.done();
    this.inHand = null;
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.serve();
    });
  }

  async return(): Promise<IteratorResult<Message>> {
    this.inHand?.giveBack(new Retry({ delayMs: 0 }));
    this.inHand = null;
    // The verdict above is carried out by the handler's promise, a turn of microtasks from here.
    await Promise.resolve();
    await this.consumer.cancel().catch(() => undefined);
    return { done: true, value: undefined };
  }

  private offer(message: Message): Promise<void> {
    return new Promise((resolve, reject) => {
      this.offered.push({ message, done: resolve, giveBack: reject });
      this.serve();
    });
  }

  private serve(): void {
    for (;;) {
      // A message whose connection was lost before anyone asked for it comes again.
      while (this.offered.peek()?.message.isAbandoned === true) this.offered.shift()!.giveBack(new Retry());
      if (this.waiting.size === 0) return;
      const offered = this.ended === null ? this.offered.shift() : undefined;
      if (offered === undefined && this.ended === null) return;
      const waiter = this.waiting.shift()!;
      if (offered !== undefined) {
        this.inHand = offered;
        waiter.resolve({ done: false, value: offered.message });
      } else if (this.ended?.error) waiter.reject(this.ended.error);
      else waiter.resolve({ done: true, value: undefined });
    }
  }

  private finish(error: MillraceError | null): void {
    this.ended ??= { error };
    this.serve();
  }
}
