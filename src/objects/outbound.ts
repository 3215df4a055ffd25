/**
 * What a queue or an exchange carries elsewhere when its alarm rings: messages on their way to queues and exchanges, and
 * word to the bucket of bodies that nobody needs any more. Each is written down before, and crossed off after it is
 * done, so that it may be done twice but never forgotten.
 */
import type { Env } from "../env.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import { readMoveTarget, type Move } from "../protocol/move-target.ts";
import type { WorkStore } from "../queue/stores.ts";
import { exchangeOf, queueOf } from "./peers.ts";

/** Calls to one target in one alarm; the next alarm goes on. */
const CALLS_MAX = 50;
/** Bodies that one call to the bucket deletes. */
const GARBAGE_MAX = 1_000;

interface Arrival {
  /** Moves, from the first on, that the target has. */
  readonly done: number;
  readonly isTargetGone: boolean;
}

const GONE: readonly ErrorCode[] = ["queue_not_found", "exchange_not_found"];

/** A core with an outbox. */
export interface Sender {
  /** How its targets know it: moveSender(). */
  readonly sender: string;
  /** Targets that moves wait for and that may be called now. */
  dueTargets(nowMs: number): string[];
  /** A target's first moves, as many as one call carries. */
  movesTo(target: string, nowMs: number): Move[];
  /** The target has this move and all before it. */
  moved(last: Move): void;
  /**
   * The target could not take it: later again. `isTargetGone`: there is no such queue or exchange; then whether the move
   * was led elsewhere.
   */
  moveFailed(move: Move, nowMs: number, isTargetGone: boolean): boolean;
}

export interface OutboundPorts {
  readonly env: Env;
  readonly namespace: string;
  /** Null where nothing is kept in a bucket. */
  readonly garbage: Pick<WorkStore, "garbage" | "removeGarbage"> | null;
  /** Null when nothing is declared. */
  open(): Sender | null;
  /** Runs a change as a part of the turn's transaction. */
  inTurn(run: () => void): Promise<void>;
}

export class Outbound {
  private readonly ports: OutboundPorts;

  constructor(ports: OutboundPorts) {
    this.ports = ports;
  }

  /** Each target is called on its own, so that one that is slow to answer holds up no other. */
  async carryMoves(): Promise<void> {
    const targets = this.ports.open()?.dueTargets(Date.now()) ?? [];
    await Promise.all(targets.map((target) => this.carryTo(target)));
  }

  private async carryTo(target: string): Promise<void> {
    for (let i = 0; i < CALLS_MAX; i++) {
      const sender = this.ports.open();
      const moves = sender?.movesTo(target, Date.now()) ?? [];
      if (!sender || moves.length === 0) return;
      const { done, isTargetGone } = await this.carry(sender.sender, target, moves);
      await this.ports.inTurn(() => {
        const current = this.ports.open();
        if (done > 0) current?.moved(moves[done - 1]!);
        for (const move of moves.slice(done)) if (!current?.moveFailed(move, Date.now(), isTargetGone)) break;
      });
      if (done < moves.length) return;
    }
  }

  /** Any refusal, `unroutable` too, leaves the move with its sender: seen, and tried again. */
  private async carry(from: string, target: string, moves: readonly Move[]): Promise<Arrival> {
    const { env, namespace } = this.ports;
    const destination = readMoveTarget(target);
    try {
      const stub =
        "queue" in destination
          ? queueOf(env, namespace, destination.queue)
          : exchangeOf(env, namespace, destination.exchange);
      const sent = moves.map(({ number, batch }) => ({ number, batch }));
      const answer = await stub.acceptMoves({ from, moves: sent });
      if (answer.ok) return { done: answer.value.done, isTargetGone: false };
      return { done: 0, isTargetGone: GONE.includes(answer.code) };
    } catch (error) {
      console.error("moves were not taken", { namespace, from, target, error: String(error) });
      return { done: 0, isTargetGone: false };
    }
  }

  /** Deletes the bodies of settled messages; a queue that is deleted leaves its own behind, for the alarm. */
  async collectGarbage(): Promise<void> {
    const { env, garbage } = this.ports;
    if (garbage === null) return;
    for (
      let references = garbage.garbage(GARBAGE_MAX);
      references.length > 0;
      references = garbage.garbage(GARBAGE_MAX)
    ) {
      await env.BODIES?.delete(references);
      await this.ports.inTurn(() => {
        for (const reference of references) garbage.removeGarbage(reference);
      });
    }
  }
}
