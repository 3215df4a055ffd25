/**
 * The calls that a batch comes to: to other exchanges, level by level; to queues and hubs, in lanes. Order is kept:
 * what was published first reaches each destination first.
 */
import type { Env } from "../env.ts";
import { Resolution, type ExchangeShare } from "../exchange/resolution.ts";
import { shareOf } from "../protocol/runs.ts";
import type { Scanned } from "../exchange/step.ts";
import type { BatchCodec } from "../protocol/batch.ts";
import type { PublishCommand, PublishConfirm, PublishRefusal } from "../protocol/commands.ts";
import type { Destination, HubPush, RouteStep } from "../protocol/exchange-commands.ts";
import { LIMITS } from "../protocol/limits.ts";
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import { CallLanes } from "./call-lane.ts";
import { exchangeOf, hubOf, queueOf } from "./peers.ts";

export interface FanOutPorts {
  readonly env: Env;
  readonly codec: BatchCodec;
  readonly namespace: string;
  readonly exchange: string;
  /** A destination that does not exist any more. */
  gone(destination: Destination): Promise<void>;
}

export class FanOut {
  private readonly ports: FanOutPorts;
  private readonly queues: CallLanes<PublishCommand, Result<PublishConfirm>>;
  private readonly hubs: CallLanes<HubPush, boolean>;
  /**
   * Hubs that missed a push, and in which attachment. The next would hide that from their subscribers, whose hub may
   * have forgotten what came before; so they get none until they are attached anew.
   */
  private readonly behind = new Map<string, number>();
  private tail: Promise<unknown> = Promise.resolve();
  private resolving = 0;

  constructor(ports: FanOutPorts) {
    this.ports = ports;
    const { env, namespace } = ports;
    this.queues = new CallLanes((queue, commands) => queueOf(env, namespace, queue).publishAll(commands));
    this.hubs = new CallLanes((hub, pushes) => this.push(hub, pushes));
  }

  /**
   * Where a batch goes in the end. A batch that leads to queues alone is known at once, unless earlier ones are still
   * being asked about: then it waits for its turn.
   */
  async resolve(scanned: Scanned, step: RouteStep, isQuiet: boolean): Promise<Resolution> {
    const resolution = new Resolution(this.ports.exchange, scanned.table.count);
    resolution.add(step);
    if (step.exchanges.length === 0 && this.resolving === 0) return resolution;
    this.resolving++;
    const asked = this.tail.then(() => this.askExchanges(scanned, resolution, isQuiet));
    this.tail = asked.catch(() => undefined);
    try {
      await asked;
    } finally {
      this.resolving--;
    }
    return resolution;
  }

  private async askExchanges(scanned: Scanned, resolution: Resolution, isQuiet: boolean): Promise<void> {
    for (let level = resolution.nextLevel(); level.length > 0; level = resolution.nextLevel()) {
      const steps = await Promise.all(level.map((share) => this.askExchange(scanned, share, isQuiet)));
      for (const [i, step] of steps.entries()) {
        const { exchange, messages } = level[i]!;
        if (step.ok) resolution.add(step.value, messages);
        else if (step.code === "exchange_not_found") await this.ports.gone({ exchange });
        else
          resolution.failed.push({
            destination: { exchange },
            code: step.code,
            detail: step.detail,
            messages,
          });
      }
    }
  }

  private async askExchange(
    { batch, table }: Scanned,
    { exchange, messages }: ExchangeShare,
    isQuiet: boolean,
  ): Promise<Result<RouteStep>> {
    const { env, namespace, codec } = this.ports;
    try {
      return await exchangeOf(env, namespace, exchange).step(shareOf(codec, batch, table, messages), {
        isQuiet,
      });
    } catch (error) {
      return unreachable(`exchange "${exchange}"`, error);
    }
  }

  /**
   * One queue's share. What it refused: nothing; all of it; or some partitions their part, by indexes in the share. A
   * queue that is no more takes nothing, and that is no failure.
   */
  async toQueue(
    queue: string,
    command: PublishCommand,
  ): Promise<Refusal | "gone" | readonly PublishRefusal[]> {
    let answer: Result<PublishConfirm>;
    try {
      answer = await this.queues.add(queue, command, command.batch.byteLength);
    } catch (error) {
      return unreachable(`queue "${queue}"`, error);
    }
    if (answer.ok) return answer.value.refused ?? [];
    if (answer.code !== "queue_not_found") return answer;
    await this.ports.gone({ queue });
    return "gone";
  }

  /** Whether the hub wants more; null when it could not be reached in time. */
  async toHub(hub: string, push: HubPush): Promise<boolean | null> {
    try {
      return await this.hubs.add(hub, push, push.batch.byteLength);
    } catch (error) {
      console.warn("a hub was not reached", { exchange: push.exchange, hub, error: String(error) });
      return null;
    }
  }

  private async push(hub: string, pushes: readonly HubPush[]): Promise<boolean[]> {
    const missed = this.behind.get(hub) ?? -1;
    if (pushes.some(({ attachment }) => attachment <= missed))
      throw new Error("it has missed an earlier push");
    const { env, namespace } = this.ports;
    const timer = new AbortController();
    const late = scheduler.wait(LIMITS.hubPushMs, { signal: timer.signal }).then(() => {
      throw new Error(`no answer in ${LIMITS.hubPushMs} ms`);
    });
    try {
      const answer = await Promise.race([hubOf(env, namespace, hub).push(pushes), late]);
      if (!answer.ok) throw new Error(answer.detail);
      return pushes.map(() => answer.value.isWanted);
    } catch (error) {
      this.behind.set(hub, Math.max(...pushes.map(({ attachment }) => attachment)));
      throw error;
    } finally {
      timer.abort();
      late.catch(() => undefined);
    }
  }
}

/** The call may have been carried out or not: nobody knows. */
function unreachable(what: string, error: unknown): Refusal {
  console.error("a destination was not reached", { destination: what, error: String(error) });
  return refuse("unavailable", `${what} could not be reached; whether it took the messages is unknown`);
}
