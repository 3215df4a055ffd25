// Moves to a queue that may lie on several objects.
import type { MoveBatch, MovedCommand, MovesTaken } from "../protocol/move-target.ts";
import { ownerOf } from "../protocol/partitions.ts";
import { hashText } from "../protocol/rendezvous.ts";
import { ok, type Result } from "../protocol/result.ts";
import type { QueueLayout } from "../protocol/rpc.ts";
import type { Parts, PartsPorts } from "./parts.ts";
import { splitBatch } from "./split.ts";

/** One partition takes many in one call. Several take them one by one: under a new layout one taken in part begins anew. */
export async function acceptMoves(
  ports: PartsPorts,
  parts: Parts,
  { from, moves }: MovedCommand,
): Promise<Result<MovesTaken>> {
  let accepted = 0;
  let done = 0;
  const taken = await parts.under(async (layout): Promise<Result<null>> => {
    while (done < moves.length) {
      const answer =
        layout.partitions === 1
          ? await parts.head.acceptMoves({ from, moves: moves.slice(done) })
          : await acceptParts(ports, layout, from, moves[done]!);
      if (!answer.ok) return answer;
      accepted += answer.value.accepted;
      done += answer.value.done;
      if (layout.partitions === 1 || answer.value.done === 0) break;
    }
    return ok(null);
  });
  return taken.ok || done > 0 ? ok({ accepted, done }) : taken;
}

async function acceptParts(
  ports: PartsPorts,
  layout: QueueLayout,
  from: string,
  { number, batch }: MoveBatch,
): Promise<Result<MovesTaken>> {
  const { partitions } = layout;
  const scanned = ports.codec.scan(batch, "broker");
  if (!scanned.ok) return scanned;
  // Split another way, a batch that was taken in part can't be gone on with: under each layout it is another's.
  const sender = `${from}@${partitions}`;
  const even = ownerOf(hashText(`${from}:${number}`), partitions);
  const shares = splitBatch(ports.codec, batch, scanned.value, { layout, even });
  const sent = shares.map(({ partition, batch: own }) =>
    ports.part(partition).acceptMoves({ from: sender, moves: [{ number, batch: own }] }, partitions),
  );
  let accepted = 0;
  let done = 1;
  for (const answer of await Promise.all(sent)) {
    if (!answer.ok) return answer;
    accepted += answer.value.accepted;
    done = Math.min(done, answer.value.done);
  }
  return ok({ accepted, done });
}
