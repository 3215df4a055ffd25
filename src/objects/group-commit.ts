/**
 * Gathers what reaches an object in one turn of its event loop and runs it in one transaction. The runtime commits once for each
 * event, so a hundred requests in flight would be a hundred commits; gathered they are one.
 */
type Job = {
  readonly run: () => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
};

export class GroupCommit {
  private jobs: Job[] = [];
  /** Jobs that may wait for company. */
  private later: Job[] = [];
  private isRunning = false;
  private readonly flush: (run: () => void) => void | Promise<void>;

  /** `flush` is given the gathered work, to be called inside a transaction. */
  constructor(flush: (run: () => void) => void | Promise<void>) {
    this.flush = flush;
  }

  /** Resolves when the turn's transaction is done. The output gate holds answers until it is durable. */
  add<T>(run: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.goOn();
      this.push({ run, resolve: resolve as (value: unknown) => void, reject });
    });
  }

  /** Beside the jobs that wait: what it does has nothing to do with them. */
  addBeside<T>(run: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.push({ run, resolve: resolve as (value: unknown) => void, reject });
    });
  }

  /** A job that waits for others so long, so that they are one write; any other job takes it along, in its order. */
  addLater<T>(run: () => T, waitMs: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.later.push({ run, resolve: resolve as (value: unknown) => void, reject });
      if (this.later.length === 1) void this.wait(waitMs);
    });
  }

  private async wait(waitMs: number): Promise<void> {
    const [first] = this.later;
    await scheduler.wait(waitMs);
    if (this.later[0] === first) this.goOn();
  }

  private goOn(): void {
    for (const job of this.later.splice(0)) this.push(job);
  }

  private push(job: Job): void {
    this.jobs.push(job);
    if (this.isRunning) return;
    this.isRunning = true;
    void this.flushAll();
  }

  /**
   * One flush at a time, in the order of arrival. What comes after a pause is done at once: coming back from the event
   * loop takes a millisecond or more, a good part of what a commit takes. What arrives from then on, until the loop has
   * come round and found nothing, is gathered.
   */
  private async flushAll(): Promise<void> {
    // What came with the same event goes along.
    await Promise.resolve();
    do {
      await this.flushJobs();
      await scheduler.wait(0);
    } while (this.jobs.length > 0);
    this.isRunning = false;
  }

  private async flushJobs(): Promise<void> {
    const jobs = this.jobs;
    this.jobs = [];
    const values: unknown[] = [];
    try {
      await this.flush(() => {
        // It may be called again, where the first time could not be stored.
        values.length = 0;
        for (const job of jobs) values.push(job.run());
      });
      jobs.forEach((job, i) => job.resolve(values[i]));
    } catch (error) {
      for (const job of jobs) job.reject(error);
    }
  }
}
