/**
 * Gathers what reaches an object in one turn and runs it in one transaction. The runtime commits once for each
 * event, so a hundred requests in flight would be a hundred commits; gathered they are one.
 */
type Job = {
  readonly run: () => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
};

export class GroupCommit {
  private jobs: Job[] = [];
  private isScheduled = false;
  private readonly flush: (run: () => void) => void | Promise<void>;

  /** `flush` is given the gathered work, to be called once inside a transaction. */
  constructor(flush: (run: () => void) => void | Promise<void>) {
    this.flush = flush;
  }

  /** Resolves when the turn's transaction is done. The output gate holds answers until it is durable. */
  add<T>(run: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.jobs.push({ run, resolve: resolve as (value: unknown) => void, reject });
      if (this.isScheduled) return;
      this.isScheduled = true;
      void this.flushSoon();
    });
  }

  /** One flush at a time: what arrives while one waits is done after it, in the order of arrival. */
  private async flushSoon(): Promise<void> {
    while (this.jobs.length > 0) {
      await scheduler.wait(0);
      const jobs = this.jobs;
      this.jobs = [];
      const values: unknown[] = [];
      try {
        await this.flush(() => {
          for (const job of jobs) values.push(job.run());
        });
        jobs.forEach((job, i) => job.resolve(values[i]));
      } catch (error) {
        for (const job of jobs) job.reject(error);
      }
    }
    this.isScheduled = false;
  }
}
