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

/** Outbox rows carried in one alarm; the next alarm goes on. */
const MOVES_MAX = 50;
/** Bodies that one call to the bucket deletes. */
const GARBAGE_MAX = 1_000;

type Arrival = "taken" | "not_taken" | "target_gone";

const GONE: readonly ErrorCode[] = ["queue_not_found", "exchange_not_found"];

/** A core with an outbox. */
export interface Sender {
  /** How its targets know it: moveSender(). */
  readonly sender: string;
  /** The first move that is due, in order for each target. */
  nextMove(nowMs: number): Move | null;
  moved(number: number): void;
  /** The target could not take it: later again. `isTargetGone`: there is no such queue or exchange. */
  moveFailed(move: Move, nowMs: number, isTargetGone: boolean): void;
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

  async carryMoves(): Promise<void> {
    for (let i = 0; i < MOVES_MAX; i++) {
      const sender = this.ports.open();
      const move = sender?.nextMove(Date.now());
      if (!sender || !move) return;
      const arrival = await this.carry(sender.sender, move);
      await this.ports.inTurn(() => {
        if (arrival === "taken") this.ports.open()?.moved(move.number);
        else this.ports.open()?.moveFailed(move, Date.now(), arrival === "target_gone");
      });
    }
  }

  /** Any refusal, `unroutable` too, leaves the move with its sender: seen, and tried again. */
  private async carry(from: string, { number, target, batch }: Move): Promise<Arrival> {
    const { env, namespace } = this.ports;
    const destination = readMoveTarget(target);
    try {
      const stub =
        "queue" in destination
          ? queueOf(env, namespace, destination.queue)
          : exchangeOf(env, namespace, destination.exchange);
      const answer = await stub.acceptMoved({ from, number, batch });
      if (answer.ok) return answer.value.isDone ? "taken" : "not_taken";
      return GONE.includes(answer.code) ? "target_gone" : "not_taken";
    } catch (error) {
      console.error("a move was not taken", { namespace, from, target, error: String(error) });
      return "not_taken";
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
