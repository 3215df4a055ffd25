/**
 * What a queue asks of its namespace and of the exchanges that lead to it: whether it may be, what it may name, how
 * much it may hold, and that nothing leads to it once it is gone.
 */
import type { Env } from "../env.ts";
import { splitPartitionName } from "../protocol/names.ts";
import type { QueueChanges } from "../protocol/queue-config.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { DeclareOptions, NamespaceApi } from "../protocol/rpc.ts";
import { refuseSource, refuseTarget } from "../queue/config-rules.ts";
import { exchangeOf, namespaceOf, queueOf } from "./peers.ts";

const RETRY_MS = 1_000;

function missing(field: "queue" | "exchange", name: string): Refusal {
  return refuse("dead_letter_missing", `deadLetter.${field}: "${name}" does not exist`);
}

export class QueueCatalogue {
  readonly namespace: string;
  readonly queue: string;
  readonly partition: number;
  private readonly env: Env;

  constructor(env: Env, name: string) {
    this.env = env;
    const { namespace, queue, partition } = splitPartitionName(name);
    this.namespace = namespace;
    this.queue = queue;
    this.partition = partition;
  }

  /** A stub that has thrown stays broken, so each call has its own. */
  private get api(): NamespaceApi {
    return namespaceOf(this.env, this.namespace);
  }

  register(options: DeclareOptions): Promise<Result<{ isNew: boolean }>> {
    return this.api.registerQueue(this.queue, options);
  }

  unregister(restMs: number): Promise<Result<void>> {
    return this.api.unregisterQueue(this.queue, restMs);
  }

  noteDeadLetter(deadLetter: string | null): Promise<Result<void>> {
    return this.api.noteDeadLetter(this.queue, deadLetter);
  }

  allotBytes(bytes: number): Promise<Result<{ bytes: number }>> {
    return this.api.allotBytes(this.queue, bytes, this.partition);
  }

  revokedTokens(): Promise<Result<string[]>> {
    return this.api.revokedTokens();
  }

  /** A dead-letter target must exist when it is named, and take what dies here. */
  async checkTarget({ deadLetter }: QueueChanges): Promise<Refusal | null> {
    if (deadLetter === null || deadLetter === undefined) return null;
    const refused = refuseTarget(this.queue, deadLetter);
    if (refused) return refused;
    if ("queue" in deadLetter) return this.checkDeadLetterQueue(deadLetter.queue);
    const found = await this.api.hasExchange(deadLetter.exchange);
    if (!found.ok) return found;
    return found.value ? null : missing("exchange", deadLetter.exchange);
  }

  private async checkDeadLetterQueue(target: string): Promise<Refusal | null> {
    const found = await queueOf(this.env, this.namespace, target).inspect();
    if (found.ok) return refuseSource(found.value.config, target, this.queue);
    return found.code === "queue_not_found" ? missing("queue", target) : found;
  }

  async checkQueue(field: string, queue: string | undefined): Promise<Refusal | null> {
    if (queue === undefined || queue === this.queue) return null;
    const found = await this.api.hasQueue(queue);
    if (!found.ok) return found;
    return found.value ? null : refuse("queue_not_found", `${field}: there is no queue "${queue}"`);
  }

  /**
   * Takes away every binding that leads here. Repeatable. Once the queue is off the catalogue no new one is made, so
   * the call after that finds the last.
   */
  async unbind(): Promise<Result<void>> {
    const destination = { queue: this.queue };
    try {
      const bound = await this.api.boundTo(destination);
      if (!bound.ok) return bound;
      const answers = await Promise.all(
        bound.value.map(async (exchange) => {
          const answer = await exchangeOf(this.env, this.namespace, exchange).unbindAll(destination);
          // An exchange that is gone leads nowhere.
          return !answer.ok && answer.code !== "exchange_not_found" ? exchange : null;
        }),
      );
      const failed = answers.find((exchange) => exchange !== null);
      if (failed === undefined) return ok(undefined);
      console.error("a binding was not taken away", { namespace: this.namespace, ...destination, failed });
    } catch (error) {
      console.error("bindings were not taken away", {
        namespace: this.namespace,
        ...destination,
        error: String(error),
      });
    }
    return refuse("unavailable", "an exchange that leads to the queue can't be reached; repeat the request", {
      retryAfterMs: RETRY_MS,
    });
  }
}
