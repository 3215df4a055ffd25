// The settlements of one client's socket, on their way to the partitions whose leases they name.
import type { Settlement, SettlementResult } from "../protocol/commands.ts";
import { partitionOfLease } from "../protocol/partitions.ts";
import { ok, type Refusal, type Result } from "../protocol/result.ts";

export interface PartSettlementsPorts {
  /** Numbers that no other frame of ours has. */
  readonly firstRef: number;
  partitions(): number;
  send(partition: number, ref: number, settlements: readonly Settlement[]): void;
  answer(ref: number | null, answer: Result<readonly SettlementResult[]>): void;
}

/** Of one client's frame. */
interface Settling {
  readonly ref: number | null;
  readonly results: SettlementResult[];
  unanswered: number;
  refusal: Refusal | null;
}

export class PartSettlements {
  private readonly ports: PartSettlementsPorts;
  private readonly sent = new Map<number, { settling: Settling; places: readonly number[] }>();
  private lastRef: number;

  constructor(ports: PartSettlementsPorts) {
    this.ports = ports;
    this.lastRef = ports.firstRef;
  }

  settle(settlements: readonly Settlement[], ref: number | null): void {
    const lanes = Map.groupBy(settlements.keys(), (at) => {
      const partition = partitionOfLease(settlements[at]!.lease);
      // No lease of this queue: any partition says so.
      return partition < this.ports.partitions() ? partition : 0;
    });
    const settling: Settling = { ref, results: [], unanswered: lanes.size, refusal: null };
    for (const [partition, places] of lanes) {
      const own = ++this.lastRef;
      this.sent.set(own, { settling, places });
      this.ports.send(
        partition,
        own,
        places.map((at) => settlements[at]!),
      );
    }
  }

  /** A partition's answer to the frame that we gave this number. */
  answered(ref: number, answer: Result<readonly SettlementResult[]>): void {
    const known = this.sent.get(ref);
    if (known === undefined) return;
    this.sent.delete(ref);
    const { settling, places } = known;
    if (answer.ok) for (const [i, result] of answer.value.entries()) settling.results[places[i]!] = result;
    else settling.refusal ??= answer;
    if (--settling.unanswered === 0)
      this.ports.answer(settling.ref, settling.refusal ?? ok(settling.results));
  }
}
