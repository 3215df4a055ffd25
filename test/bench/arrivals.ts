/** The messages of a round, and whether each arrived: all of them, once, with the right body. */

const TEMPLATE = Buffer.from("the quick brown fox jumps over the lazy dog; ".repeat(40));
/** Round and number, in front of the text. */
const STAMP_BYTES = 8;

export function bodyOf(round: number, number: number, bytes: number): Buffer {
  const body = Buffer.allocUnsafe(bytes);
  TEMPLATE.copy(body, STAMP_BYTES, 0, bytes - STAMP_BYTES);
  body.writeUInt32LE(round, 0);
  body.writeUInt32LE(number, 4);
  return body;
}

export class Arrivals {
  /** Resolves when all have arrived; rejects with the first that was wrong. */
  readonly complete: Promise<void>;
  private readonly round: number;
  private readonly count: number;
  private readonly bytes: number;
  private readonly seen: Uint8Array;
  private readonly expected: Buffer;
  private arrived = 0;
  private readonly outcome = Promise.withResolvers<void>();

  constructor(round: number, count: number, bytes: number) {
    this.round = round;
    this.count = count;
    this.bytes = bytes;
    this.seen = new Uint8Array(count);
    this.expected = bodyOf(round, 0, bytes);
    this.complete = this.outcome.promise;
    this.complete.catch(() => undefined);
  }

  take(body: Uint8Array): void {
    const number = this.numberOf(body);
    this.expected.writeUInt32LE(number, 4);
    if (this.expected.compare(body) !== 0) return this.fail(`message ${number} has another body`);
    if (number >= this.count) return this.fail(`message ${number} of ${this.count}`);
    if (this.seen[number] === 1) return this.fail(`message ${number} came twice`);
    this.seen[number] = 1;
    this.arrived++;
    if (this.arrived === this.count) this.outcome.resolve();
  }

  private numberOf(body: Uint8Array): number {
    if (body.byteLength !== this.bytes) return 0;
    return (body[4]! | (body[5]! << 8) | (body[6]! << 16) | (body[7]! << 24)) >>> 0;
  }

  private fail(why: string): void {
    this.outcome.reject(new Error(`round ${this.round}: ${why}`));
  }
}
