/**
 * Taking messages in. Everything published in one turn becomes as few segments as its lanes allow, so that a
 * hundred publishers cost one row. A batch is taken whole or refused whole.
 *
 * First each batch is judged, with no write; then sequences are given and the segments written.
 */
import type { BatchSource, RecordTable } from "../protocol/batch.ts";
import { BATCH_HEADER_BYTES, FIELD } from "../protocol/batch.ts";
import type {
  MessageHandle,
  ProducerStamp,
  PublishCommand,
  PublishConfirm,
  SequenceRun,
} from "../protocol/commands.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { ownerOf } from "../protocol/partitions.ts";
import { hashBytes } from "../protocol/rendezvous.ts";
import { countOf } from "../protocol/runs.ts";
import { refuseBodies } from "./body-limit.ts";
import { complete, completesMessages, type Completed } from "./completion.ts";
import { configOf, type QueueContext } from "./context.ts";
import { Dedups, type DedupIds } from "./dedup.ts";
import { laneOf } from "./lane.ts";
import type { ProducerState } from "./ledger.ts";
import { makeRoom, roomFor, type Load } from "./overflow.ts";
import { cut, LaneBuilder, type Entry, type Place } from "./plan.ts";
import { producerName, withBareDedupIds, withOwnKeys } from "./publishers.ts";
import { cancelAt, locateWaiting } from "./remove.ts";
import { SegmentWriter } from "./segment-writer.ts";
import type { Segment } from "./segments.ts";
import { RETURN_STATE } from "./stores.ts";
import { recordWeight, weightOf } from "./weight.ts";

interface Judged {
  /** Per message: a place, or the sequence of the first one where it is a duplicate. */
  readonly places: (Place | number)[];
  readonly wholes: { place: Place; count: number }[];
  readonly duplicates: number[];
  readonly table: RecordTable;
  readonly command: PublishCommand;
  readonly producer: ProducerState | null;
}

/** A producer's batch that was accepted before, perhaps earlier in this turn. */
interface Repeated {
  readonly producer: string;
  readonly sequence: number;
  readonly count: number;
  /** The producer's sequences that it took up. */
  readonly span: number;
}

export interface AcceptOptions {
  /** They come through an outbox: broker's fields are theirs, and they are not held to the producers' limits. */
  readonly isMoved: boolean;
  /** Whether someone consumes the queue, for those who publish only then. */
  readonly hasConsumer?: boolean;
  /** The message that the new ones replace: it leaves when they are written, and its room is theirs. */
  readonly replaced?: { readonly segment: Segment; readonly index: number };
}

export class Acceptance {
  private readonly queue: QueueContext;
  private readonly nowMs: number;
  private readonly options: AcceptOptions;
  private readonly lanes = new Map<number, LaneBuilder>();
  private readonly dedups: Dedups;
  private readonly producers: Record<string, ProducerState> = {};
  /** What was judged good so far. */
  private load = { messages: 0, bytes: 0 };
  private readonly isReplacedDead: boolean;
  private published = 0;

  constructor(queue: QueueContext, nowMs: number, options: AcceptOptions) {
    this.queue = queue;
    this.options = options;
    this.nowMs = queue.ledger.tickClock(nowMs);
    const { replaced } = options;
    this.dedups = new Dedups(queue, this.nowMs, replaced ? replaced.segment.first + replaced.index : null);
    const row = replaced ? queue.stores.returns.get(replaced.segment.first + replaced.index) : null;
    this.isReplacedDead = row?.state === RETURN_STATE.dead;
    this.countReplaced(-1);
  }

  private countReplaced(change: 1 | -1): void {
    const { replaced } = this.options;
    // A dead message does not count to the length: that it goes makes no room.
    if (!replaced || this.isReplacedDead) return;
    this.load.messages += change;
    this.load.bytes += change * weightOf(this.queue, replaced.segment, replaced.index);
  }

  /**
   * Judges one batch: a refusal or an answer that `commit` completes. Null when it fits only if what was judged
   * before it gives way: that must be committed first.
   */
  judge(given: PublishCommand): Result<Judged | Repeated> | null {
    const { isMoved } = this.options;
    const source = isMoved ? "broker" : (given.source ?? "client");
    const scanned = this.queue.codec.scan(given.batch, source);
    if (!scanned.ok) return scanned;
    // Before every limit: what was accepted once is answered as it was, even if the limits are lower now.
    const repeated = this.judgeProducer(given, scanned.value.count);
    if (repeated !== null) return repeated;
    if (given.needsConsumer === true && this.options.hasConsumer !== true)
      return refuse("no_responders", "the queue has no consumer");
    const tooLarge = isMoved ? null : refuseBodies(configOf(this.queue), given, scanned.value);
    if (tooLarge) return tooLarge;
    const whole = this.complete(given, scanned.value, source);
    if (!whole.ok) return whole;
    const flags = whole.value.table.allFlags();
    const hasIds = (flags & FIELD.dedupId) !== 0;
    const known = hasIds
      ? this.dedups.find(whole.value.batch, whole.value.table, given.publisher, isMoved)
      : null;
    const bare =
      isMoved && known !== null && known.ids.size > 0
        ? withBareDedupIds(this.queue.codec, whole.value)
        : whole;
    if (!bare.ok) return bare;
    const { batch, table } = bare.value;
    const command = { ...given, batch };
    const judged: Judged = { places: [], wholes: [], duplicates: [], table, command, producer: null };
    const fresh = freshSize(bare.value, known);
    const room = roomFor(this.queue, this.load, fresh);
    if (!room.ok)
      return this.load.messages > 0 && configOf(this.queue).overflow === "dropOldest" ? null : room;
    this.load.messages += fresh.messages;
    this.load.bytes += fresh.bytes;
    this.place(judged, flags, known);
    return ok(judged);
  }

  /**
   * What an exchange held back has waited already: it is not delayed once more. And it was confirmed: it is taken, even
   * if it lacks what the queue wants by now.
   */
  private complete(command: PublishCommand, table: RecordTable, source: BatchSource): Result<Completed> {
    const config = configOf(this.queue);
    const { codec } = this.queue;
    const given = { batch: command.batch, table };
    const isJudged = this.options.isMoved || command.isRouted === true;
    const owned = isJudged ? ok(given) : withOwnKeys(codec, given, command.publisher);
    if (!owned.ok || !completesMessages(config)) return owned;
    const wanted = this.options.isMoved ? { ...config, delayMs: 0, required: [] } : config;
    return complete(wanted, codec, owned.value, source);
  }

  /** The producer as it is stored, and what is known of it; what was stored for everyone counts as well. */
  private producerOf({ producer, publisher }: PublishCommand): { name: string; state: ProducerState | null } {
    const { id } = producer!;
    const { ledger, stores } = this.queue;
    const name = producerName(configOf(this.queue), id, publisher);
    const known = this.producers[name] ?? ledger.producer(name, stores.identities);
    return { name, state: known ?? (name === id ? null : ledger.producer(id, stores.identities)) };
  }

  /** Null: go on. Else a refusal, or the finding that the batch was accepted before. */
  private judgeProducer(command: PublishCommand, count: number): Result<Repeated> | null {
    if (!command.producer) return null;
    const { id, sequence, span } = command.producer;
    const { name, state } = this.producerOf(command);
    if (state === null || sequence === state.last + 1) return null;
    if (span !== undefined) return this.judgePart(state, command.producer, name, count);
    if (sequence < state.first || sequence + count - 1 > state.last) {
      const expected = state.last + 1;
      return refuse("sequence_gap", `sequence: producer ${id} must go on with ${expected}, not ${sequence}`, {
        expectedSequence: expected,
      });
    }
    this.countDuplicates(count);
    return ok({ producer: name, sequence, count, span: count });
  }

  /**
   * A partition's part of a producer's batch. What lies between two parts went to others, so a gap says nothing, and
   * neither does a sequence that was passed: only a part that is remembered is known to have been taken.
   */
  private judgePart(
    state: ProducerState,
    { id, sequence, span = 0 }: ProducerStamp,
    producer: string,
    count: number,
  ): Result<Repeated> | null {
    if (sequence > state.last) return null;
    const known = state.batches.find(([first, size]) => first === sequence && size === span);
    // Since it was stored its key may have moved, and it may be another part now.
    if (known === undefined || countOf(known[2]) !== count) {
      return refuse(
        "sequence_gap",
        `sequence: producer ${id} has gone past ${sequence} in this partition; whether that was stored is not known`,
      );
    }
    this.countDuplicates(count);
    return ok({ producer, sequence, count, span });
  }

  /** The first one's answer; without sequences when it is too long ago to be remembered. */
  answerRepeated({ producer, sequence, count, span }: Repeated): PublishConfirm {
    const state = this.queue.ledger.producer(producer, this.queue.stores.identities);
    const batch = state?.batches.find(([first, size]) => first === sequence && size === span);
    const duplicates = Array.from({ length: count }, (_, i) => i);
    return { origin: this.queue.stored.origin, sequences: batch?.[2] ?? [], duplicates };
  }

  private place(judged: Judged, flags: number, known: DedupIds | null): void {
    const { table, command } = judged;
    const bytes = command.batch;
    const ranked = configOf(this.queue).fairLanes > 0 ? FIELD.orderingKey : FIELD.priority;
    const isUniform = (flags & (ranked | FIELD.delayMs)) === 0 && known === null;
    if (isUniform) {
      const size = bytes.byteLength - BATCH_HEADER_BYTES;
      const slice = { bytes, offset: BATCH_HEADER_BYTES, size, count: table.count };
      judged.wholes.push({
        place: this.add(laneOf(0, false), { slice, delayMs: 0, table }, flags),
        count: table.count,
      });
      return;
    }
    for (let i = 0; i < table.count; i++) {
      const first = known?.firsts.get(i);
      if (first !== undefined) {
        judged.duplicates.push(i);
        judged.places.push(typeof first === "string" ? this.dedups.placeOf(first) : first);
        continue;
      }
      const delayMs = table.delayMs(i);
      const lane = laneOf(this.rankOf(bytes, table, i), delayMs > 0);
      const slice = { bytes, offset: table.offset(i), size: table.size(i), count: 1 };
      const place = this.add(lane, { slice, delayMs, table: null }, table.flags(i));
      judged.places.push(place);
      const id = known?.ids.get(i);
      if (id !== undefined) this.dedups.note(id, place);
    }
    this.countDuplicates(judged.duplicates.length);
  }

  /** The message's priority; in a fair queue the lane of its key. */
  private rankOf(bytes: Uint8Array, table: RecordTable, index: number): number {
    const { fairLanes } = configOf(this.queue);
    if (fairLanes === 0) return table.priority(index);
    const size = table.keySize(index);
    return size === 0 ? 0 : ownerOf(hashBytes(bytes, table.keyOffset(index), size), fairLanes);
  }

  /** No segment tells of them. */
  private countDuplicates(count: number): void {
    if (count === 0) return;
    this.queue.ledger.now.totals.duplicates += count;
    this.queue.ledger.isDirty = true;
  }

  private add(lane: number, entry: Omit<Entry, "order">, flags: number): Place {
    const order = this.published;
    this.published += entry.slice.count;
    return this.builder(lane).add({ ...entry, order }, flags);
  }

  private builder(lane: number): LaneBuilder {
    let builder = this.lanes.get(lane);
    if (!builder) {
      builder = new LaneBuilder(lane);
      this.lanes.set(lane, builder);
    }
    return builder;
  }

  /** A later batch of the same producer in the same turn must see this one. */
  noteProducer(judged: Judged): void {
    const stamp = judged.command.producer;
    if (!stamp) return;
    const { name, state: before } = this.producerOf(judged.command);
    this.producers[name] = {
      first: before?.first ?? stamp.sequence,
      last: stamp.sequence + (stamp.span ?? judged.table.count) - 1,
      touchedMs: this.nowMs,
      batches: before === null ? [] : [...before.batches],
    };
  }

  /** Writes all that was judged good and answers each batch in order. */
  commit(judged: readonly Judged[]): PublishConfirm[] {
    const { replaced } = this.options;
    if (replaced) {
      cancelAt(this.queue, replaced.segment, replaced.index);
      this.countReplaced(1);
    }
    makeRoom(this.queue, this.load, this.nowMs);
    const plans = [...this.lanes.values()].sort((a, b) => a.lane - b.lane).flatMap((lane) => cut(lane));
    let next = this.queue.ledger.now.nextSequence;
    for (const plan of plans) {
      for (let i = 0; i < plan.count; i++)
        plan.lane.sequences[plan.positions ? plan.positions[i]! : plan.from + i] = next + i;
      plan.first = next;
      next += plan.count;
    }
    const confirms = judged.map((one) => this.confirm(one));
    const producers = Object.keys(this.producers).length > 0 ? JSON.stringify(this.producers) : null;
    const writer = new SegmentWriter(this.queue, this.nowMs);
    plans.forEach((plan, i) => writer.write(plan, i === 0 ? producers : null));
    writer.writeCancelKeys();
    for (const [id, state] of Object.entries(this.producers)) this.queue.ledger.recordProducer(id, state);
    // When every message was a duplicate, there is no segment to carry the producers' new state.
    if (producers !== null && plans.length === 0) this.queue.ledger.isDirty = true;
    this.dedups.store();
    return confirms;
  }

  private confirm(judged: Judged): PublishConfirm {
    const sequences: SequenceRun[] = [];
    const push = (sequence: number): void => {
      const last = sequences.at(-1);
      if (last && last[0] + last[1] === sequence) sequences[sequences.length - 1] = [last[0], last[1] + 1];
      else sequences.push([sequence, 1]);
    };
    for (const { place, count } of judged.wholes) {
      for (let i = 0; i < count; i++) push(place.lane.sequences[place.at + i]!);
    }
    for (const place of judged.places)
      push(typeof place === "number" ? place : place.lane.sequences[place.at]!);
    const stamp = judged.command.producer;
    if (stamp) {
      const span = stamp.span ?? judged.table.count;
      this.producers[this.producerOf(judged.command).name]!.batches.push([stamp.sequence, span, sequences]);
    }
    return { origin: this.queue.stored.origin, sequences, duplicates: judged.duplicates };
  }
}

function freshSize({ batch, table }: Completed, known: DedupIds | null): Load {
  let messages = 0;
  let bytes = 0;
  for (let i = 0; i < table.count; i++) {
    if (known?.firsts.has(i)) continue;
    messages++;
    bytes += recordWeight(batch, table, i);
  }
  return { messages, bytes };
}

/** Judges and writes a turn's batches; the answers are in order. */
export function acceptAll(
  queue: QueueContext,
  commands: readonly PublishCommand[],
  nowMs: number,
  options: AcceptOptions = { isMoved: false },
): Result<PublishConfirm>[] {
  const answers: Result<PublishConfirm>[] = [];
  while (answers.length < commands.length) {
    answers.push(...acceptTogether(queue, commands.slice(answers.length), nowMs, options));
  }
  return answers;
}

/** Puts new messages in place of one that waits; it stays where they are refused. */
export function replaceWaiting(
  queue: QueueContext,
  handle: MessageHandle,
  command: Pick<PublishCommand, "batch" | "publisher">,
  nowMs: number,
): Result<PublishConfirm> {
  const replaced = locateWaiting(queue, handle);
  if (!replaced.ok) return replaced;
  return acceptTogether(queue, [command], nowMs, { isMoved: false, replaced: replaced.value })[0]!;
}

/** As many of the batches as can be written in one go; one at the least. */
function acceptTogether(
  queue: QueueContext,
  commands: readonly PublishCommand[],
  nowMs: number,
  options: AcceptOptions,
): Result<PublishConfirm>[] {
  const acceptance = new Acceptance(queue, nowMs, options);
  const answers: (Refusal | Repeated | number)[] = [];
  const judged: Judged[] = [];
  for (const command of commands) {
    const answer = acceptance.judge(command);
    if (answer === null) break;
    if (!answer.ok) answers.push(answer);
    else if (!("table" in answer.value)) answers.push(answer.value);
    else {
      acceptance.noteProducer(answer.value);
      answers.push(judged.push(answer.value) - 1);
    }
  }
  const confirms = judged.length === 0 ? [] : acceptance.commit(judged);
  return answers.map((answer) => {
    if (typeof answer === "number") return ok(confirms[answer]!);
    return "ok" in answer ? answer : ok(acceptance.answerRepeated(answer));
  });
}
