/**
 * Calls at fixed times, and how long each took from when it was due. A caller that waits for one answer before the
 * next call would leave out the times at which the other side was slow ("coordinated omission"); this one doesn't.
 */
import { createHistogram } from "node:perf_hooks";

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly calls: number;
}

/** One call; resolves when its answer is there. */
export type Call = (index: number) => Promise<void>;

class Times {
  private readonly histogram = createHistogram({ figures: 3 });

  addMs(ms: number): void {
    this.histogram.record(Math.max(1, Math.round(ms * 1_000)));
  }

  result(): Latency {
    const at = (percentile: number): number => this.histogram.percentile(percentile) / 1_000;
    return { p50Ms: at(50), p99Ms: at(99), p999Ms: at(99.9), calls: this.histogram.count };
  }
}

/** The next when the one before is answered: what a single caller sees. */
export async function oneAtATime(call: Call, count: number): Promise<Latency> {
  const times = new Times();
  for (let i = 0; i < count; i++) {
    const startedMs = performance.now();
    await call(i);
    times.addMs(performance.now() - startedMs);
  }
  return times.result();
}

/** So many a second, whether or not the ones before are answered. */
export function atRate(call: Call, perSecond: number, durationMs: number): Promise<Latency> {
  const times = new Times();
  const count = Math.floor((perSecond * durationMs) / 1_000);
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    let called = 0;
    let answered = 0;
    const tick = (): void => {
      const elapsedMs = performance.now() - startMs;
      for (; called < count && (called * 1_000) / perSecond <= elapsedMs; called++) {
        const dueMs = startMs + (called * 1_000) / perSecond;
        call(called).then(() => {
          times.addMs(performance.now() - dueMs);
          if (++answered === count) resolve(times.result());
        }, reject);
      }
      if (called < count) setTimeout(tick, Math.max(0, (called * 1_000) / perSecond - elapsedMs));
    };
    tick();
  });
}

/** Calls a second that are answered when always `window` are under way. */
export async function mostPerSecond(call: Call, window: number, count: number): Promise<number> {
  const startedMs = performance.now();
  let called = 0;
  let open = 0;
  await new Promise<void>((resolve, reject) => {
    const done = (): void => {
      open--;
      if (called === count && open === 0) resolve();
      else if (open <= window >> 1) fill();
    };
    const fill = (): void => {
      while (open < window && called < count) {
        open++;
        call(called++).then(done, reject);
      }
    };
    fill();
  });
  return (count * 1_000) / (performance.now() - startedMs);
}
