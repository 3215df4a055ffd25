/**
 * Calls to one other object, one at a time: what comes while a call is under way goes along with the next. So the
 * other object gets everything in order, and a busy one gets few large calls rather than many small ones.
 */
interface Waiting<T, R> {
  readonly item: T;
  readonly bytes: number;
  readonly resolve: (answer: R) => void;
  readonly reject: (reason: unknown) => void;
}

/** The runtime takes 32 MiB of arguments; half of it leaves room for what is around the bytes. */
const CALL_BYTES_MAX = 16 * 1024 ** 2;
const CALL_ITEMS_MAX = 1_000;

export class CallLane<T, R> {
  private readonly send: (items: readonly T[]) => Promise<readonly R[]>;
  private waiting: Waiting<T, R>[] = [];
  private isBusy = false;

  /** `send` answers for each item, in their order. When it throws, each of them rejects with that. */
  constructor(send: (items: readonly T[]) => Promise<readonly R[]>) {
    this.send = send;
  }

  get isIdle(): boolean {
    return !this.isBusy;
  }

  add(item: T, bytes: number): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.waiting.push({ item, bytes, resolve, reject });
      if (!this.isBusy) void this.run();
    });
  }

  private async run(): Promise<void> {
    this.isBusy = true;
    while (this.waiting.length > 0) {
      const part = this.waiting.splice(0, this.fitting());
      try {
        const answers = await this.send(part.map(({ item }) => item));
        part.forEach(({ resolve }, i) => resolve(answers[i]!));
      } catch (error) {
        for (const { reject } of part) reject(error);
      }
    }
    this.isBusy = false;
  }

  private fitting(): number {
    let bytes = 0;
    for (const [i, one] of this.waiting.entries()) {
      bytes += one.bytes;
      if (i > 0 && (bytes > CALL_BYTES_MAX || i >= CALL_ITEMS_MAX)) return i;
    }
    return this.waiting.length;
  }
}

/** A lane for each name; idle ones are forgotten when there are many. */
export class CallLanes<T, R> {
  private readonly lanes = new Map<string, CallLane<T, R>>();
  private readonly send: (name: string, items: readonly T[]) => Promise<readonly R[]>;

  constructor(send: (name: string, items: readonly T[]) => Promise<readonly R[]>) {
    this.send = send;
  }

  add(name: string, item: T, bytes: number): Promise<R> {
    let lane = this.lanes.get(name);
    if (lane === undefined) {
      if (this.lanes.size >= 1_000) this.forgetIdle();
      lane = new CallLane((items) => this.send(name, items));
      this.lanes.set(name, lane);
    }
    return lane.add(item, bytes);
  }

  private forgetIdle(): void {
    for (const [name, lane] of this.lanes) if (lane.isIdle) this.lanes.delete(name);
  }
}
