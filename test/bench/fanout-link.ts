/** One connection of a fan-out: that of a subscriber, or of the publisher. */
export interface Link {
  publish(bodies: readonly Buffer[]): void;
  close(): void;
}

/** Is given each message's body: the bytes from `start` to `end`. */
export type Take = (bytes: Buffer, start: number, end: number) => void;
