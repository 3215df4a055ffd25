/**
 * How a queue or an exchange is taken away, in step with the catalogue: what leads to it goes first, its name last. It may
 * be cut short at any call to another object, and is repeated then. One removal runs at a time, and a declare waits for
 * the end of it.
 */
import type { ErrorCode } from "../protocol/errors.ts";
import { ok, type Refusal, type Result } from "../protocol/result.ts";

export interface RemovalPorts<Options, Removed> {
  /** What goes with it, or why it stays. */
  judge(options: Options): Result<Removed>;
  /** The refusal that says that there is nothing here. */
  readonly notFound: ErrorCode;
  /** Takes the bindings away that lead to it. */
  unbind(): Promise<Result<unknown>>;
  /** Absent: all of it lies here. */
  readonly elsewhere?: Elsewhere<Options, Removed>;
  /** Deletes everything, without waiting: from then on it is not there, whoever asks. */
  erase(): void;
  /** `removed`: with what it was deleted; null: there was nothing. */
  unregister(removed: Options | null): Promise<unknown>;
  /** What is left to do outside the object. */
  clean(isErased: boolean): Promise<void>;
}

/** What of it lies in other objects. */
export interface Elsewhere<Options, Removed> {
  /** Why it stays; null when nothing there keeps it. */
  judge(options: Options): Promise<Refusal | null>;
  remove(options: Options): Promise<Result<Removed>>;
  sum(here: Removed, there: Removed): Removed;
}

export class Removal<Options, Removed> {
  private readonly ports: RemovalPorts<Options, Removed>;
  private running: Promise<unknown> | null = null;

  constructor(ports: RemovalPorts<Options, Removed>) {
    this.ports = ports;
  }

  get isRunning(): boolean {
    return this.running !== null;
  }

  /** Resolves when none runs. */
  async over(): Promise<void> {
    while (this.running !== null) await this.running;
  }

  async run(options: Options): Promise<Result<Removed>> {
    await this.over();
    const removed = this.remove(options);
    // Whoever waits for its end does not want to know how it ended.
    this.running = removed.catch(() => undefined);
    try {
      return await removed;
    } finally {
      this.running = null;
    }
  }

  /** While a binding can't be taken away nothing is deleted. */
  private async remove(options: Options): Promise<Result<Removed>> {
    const { ports } = this;
    // Judged twice: bindings to what stays are not to be touched, and it may change while they are.
    const early = ports.judge(options);
    if (!early.ok && early.code !== ports.notFound) return early;
    const kept = await ports.elsewhere?.judge(options);
    if (kept) return kept;
    const unbound = await ports.unbind();
    if (!unbound.ok) return unbound;
    const there = await ports.elsewhere?.remove(options);
    if (there?.ok === false) return there;
    const judged = ports.judge(options);
    if (!judged.ok && judged.code !== ports.notFound) return judged;
    if (judged.ok) ports.erase();
    // Where there was nothing as well: a declare or a removal may have been cut short between the catalogue and here.
    await ports.unregister(judged.ok ? options : null);
    const leftovers = await ports.unbind();
    await ports.clean(judged.ok);
    if (!leftovers.ok) return leftovers;
    return judged.ok && there ? ok(ports.elsewhere!.sum(judged.value, there.value)) : judged;
  }
}
