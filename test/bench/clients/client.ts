/** What the durable contests need of a broker, as a user of its client library has it. */
export interface DurableClient {
  /** `done` is called once the broker has confirmed that the message is stored, or with why it was not. */
  publish(body: Uint8Array, done: (error?: unknown) => void): void;
  /** The same for several at once, where the library offers that. */
  publishMany?(bodies: readonly Uint8Array[]): Promise<unknown>;
  /** Takes messages, of which `prefetch` may be unacked, and acks each one when `take` has returned. */
  consume(take: (body: Uint8Array) => void): Promise<Consuming>;
  close(): Promise<void>;
}

export interface Consuming {
  /** Stops taking messages; resolves when the broker has all acks. */
  end(): Promise<void>;
}

export interface ClientOptions {
  readonly url: string;
  readonly prefetch: number;
}
