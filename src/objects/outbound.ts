/**
 * What a queue carries elsewhere when its alarm rings: dead and redriven messages to other queues, and word to the
 * bucket of bodies that nobody needs any more. Each is written down before, and crossed off after it is done, so
 * that it may be done twice but never forgotten.
 */
import type { Env } from "../env.ts";
import { objectName } from "../protocol/names.ts";
import type { Queue } from "../queue/queue.ts";
import type { OutboxRow, WorkStore } from "../queue/stores.ts";

/** Outbox rows carried in one alarm; the next alarm goes on. */
const MOVES_MAX = 50;
/** Bodies that one call to the bucket deletes. */
const GARBAGE_MAX = 1_000;

export interface OutboundPorts {
  readonly env: Env;
  readonly work: WorkStore;
  open(): Queue | null;
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
      const queue = this.ports.open();
      const row = queue?.nextMove(Date.now());
      if (!queue || !row) return;
      const isTaken = await this.carry(queue, row);
      await this.ports.inTurn(() => {
        if (isTaken) this.ports.open()?.moved(row.number);
        else this.ports.open()?.moveFailed(row, Date.now());
      });
    }
  }

  private async carry({ stored }: Queue, row: OutboxRow): Promise<boolean> {
    const name = objectName(stored.namespace, row.target);
    // The origin tells this queue from an earlier one of its name, whose numbers the target may remember.
    const from = `${stored.queue}#${stored.origin}`;
    try {
      const stub = this.ports.env.QUEUES.getByName(name);
      const answer = await stub.acceptMoved({ from, number: row.number, batch: row.batch });
      return answer.ok && answer.value.isDone;
    } catch (error) {
      console.error("a move was not taken", {
        queue: stored.queue,
        target: row.target,
        error: String(error),
      });
      return false;
    }
  }

  /** Deletes the bodies of settled messages; a queue that is deleted leaves its own behind, for the alarm. */
  async collectGarbage(): Promise<void> {
    const { env, work } = this.ports;
    for (
      let references = work.garbage(GARBAGE_MAX);
      references.length > 0;
      references = work.garbage(GARBAGE_MAX)
    ) {
      await env.BODIES?.delete(references);
      await this.ports.inTurn(() => {
        for (const reference of references) work.removeGarbage(reference);
      });
    }
  }
}
