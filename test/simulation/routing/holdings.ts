// Where every message is: in queues, seen by consumers, held by exchanges, on its way.
import type { MessageState, PeekPage } from "../../../src/protocol/commands.ts";
import { readRecord } from "../../../src/protocol/record.ts";
import type { Result } from "../../../src/protocol/result.ts";
import { bytesOf } from "../../../src/storage/sql.ts";
import type { Host } from "./host.ts";
import type { RoutingWorld } from "./world.ts";

export interface Arrival {
  readonly sequence: number;
  /** The publisher's id of it. */
  readonly id: string;
}

export interface Census {
  /** By queue, in the order of their sequences: all that is or was in it, as far as it was seen. */
  readonly queues: ReadonlyMap<string, readonly Arrival[]>;
  /** Held by exchanges until they are due or lead somewhere. */
  readonly held: ReadonlyMap<string, readonly string[]>;
  /** In outboxes. */
  readonly moving: readonly string[];
}

const STATES: readonly MessageState[] = ["ready", "leased", "delayed", "parked", "dead"];

export async function deliveredWhere(world: RoutingWorld): Promise<Census> {
  const queues = new Map<string, Arrival[]>();
  for (const queue of world.shape.queues.keys()) queues.set(queue, await arrivalsOf(world, queue));
  const held = new Map<string, string[]>();
  const moving: string[] = [];
  for (const host of world.cluster.all()) {
    if (host.kind === "exchange") held.set(host.name, idsIn(world, host, "delayed"));
    if (host.kind === "exchange" || host.kind === "queue") moving.push(...idsIn(world, host, "outbox"));
  }
  return { queues, held, moving };
}

async function arrivalsOf(world: RoutingWorld, queue: string): Promise<Arrival[]> {
  const found = new Map(world.taken.get(queue));
  for (const state of STATES) {
    for (let cursor: string | undefined; ;) {
      const page: Result<PeekPage> = await world.cluster
        .queue(queue)
        .peek({ state, limit: 100, ...(cursor === undefined ? {} : { cursor }) });
      if (!page.ok) break;
      for (const one of page.value.messages) found.set(arrivalKey(one), arrivalOf(one));
      cursor = page.value.cursor;
      if (cursor === undefined) break;
    }
  }
  return [...found.values()].sort((a, b) => a.sequence - b.sequence);
}

interface Seen {
  readonly id: string;
  readonly sequence: number;
  readonly correlationId?: string;
}

/** A message that comes back to a queue keeps its id, and one of another queue of the name may have its sequence. */
export function arrivalKey({ id, sequence }: Seen): string {
  return `${id} ${sequence}`;
}

export function arrivalOf({ sequence, correlationId = "" }: Seen): Arrival {
  return { sequence, id: correlationId };
}

function idsIn(world: RoutingWorld, host: Host, table: "delayed" | "outbox"): string[] {
  return host.rows<{ batch: ArrayBuffer }>(`SELECT batch FROM ${table}`).flatMap((row) => {
    const batch = bytesOf(row.batch);
    const scanned = world.codec.scan(batch, "broker");
    if (!scanned.ok) throw new Error(scanned.detail);
    const table = scanned.value;
    return Array.from(
      { length: table.count },
      (_, i) => readRecord(batch, table.offset(i)).correlationId ?? "",
    );
  });
}
