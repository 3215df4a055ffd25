// Publishing, as clients do: each message is noted before it is sent, and what its publisher was told after.
import type { MessageRecord } from "../../../src/protocol/batch.ts";
import type { ProducerStamp, PublishConfirm } from "../../../src/protocol/commands.ts";
import type { Result } from "../../../src/protocol/result.ts";
import { indexesOf } from "../../../src/protocol/runs.ts";
import type { Random } from "../random.ts";
import { encodeBatch } from "../facts.ts";
import { drawRecord, MAIN } from "./shape.ts";
import type { Sent } from "./truth.ts";
import type { PartitionsWorld } from "./world.ts";

/** What was published together. */
interface Batch {
  readonly sent: readonly Sent[];
  readonly bytes: Uint8Array;
}

function makeBatch(world: PartitionsWorld, count: number, isStamped: boolean, random: Random): Batch {
  const batch = ++world.batches;
  const records: MessageRecord[] = [];
  const sent = Array.from({ length: count }, (_, index): Sent => {
    const id = `m${++world.published}`;
    const record = drawRecord(id, world.shape, random);
    records.push(record);
    const { orderingKey: key = null, dedupId = null, delayMs = 0 } = record;
    return {
      id,
      queue: MAIN,
      key,
      dedupId,
      isDelayed: delayMs > 0,
      batch,
      index,
      isStamped,
      start: world.truth.tick(),
      confirmed: Number.POSITIVE_INFINITY,
      outcome: "pending",
    };
  });
  for (const one of sent) world.truth.sent.set(one.id, one);
  return { sent, bytes: encodeBatch(world.codec, records) };
}

function name({ sent }: Batch): string {
  const ids = sent.map(({ id, key }) => (key === null ? id : `${id}/${key}`));
  return ids.join(" ");
}

/** A refusal of what may have been stored before says nothing. */
function settleOutcome(
  world: PartitionsWorld,
  { sent }: Batch,
  answer: Result<PublishConfirm>,
  isInDoubt: boolean,
): void {
  const at = world.truth.tick();
  const refusedOr = (code: string): Sent["outcome"] =>
    isInDoubt || code === "sequence_gap" ? "unknown" : "refused";
  const refused = (message: Sent, code: string): void => {
    message.outcome = refusedOr(code);
    if (message.outcome === "refused") world.once.refused(message);
  };
  if (!answer.ok) {
    for (const message of sent) refused(message, answer.code);
    return;
  }
  const { sequences, duplicates, refused: parts = [] } = answer.value;
  const codes = new Map(
    parts.flatMap(({ messages, code }) => [...indexesOf(messages)].map((i) => [i, code])),
  );
  // A run of zeros is of messages without a number.
  const numbers = sequences.flatMap(([first, count]) =>
    Array.from({ length: count }, (_, i) => (first === 0 ? 0 : first + i)),
  );
  for (const [index, message] of sent.entries()) {
    const code = codes.get(index);
    if (code !== undefined) {
      refused(message, code);
      continue;
    }
    message.confirmed = at;
    message.outcome = duplicates.includes(index) && message.dedupId !== null ? "duplicate" : "confirmed";
    world.confirms.confirmed(message, numbers[index] ?? 0);
  }
}

/** Once, whatever comes of it. */
export async function publishOnce(world: PartitionsWorld, caller: number, random: Random): Promise<void> {
  const batch = makeBatch(world, random.between(1, 5), false, random);
  world.say(`caller ${caller} publishes ${name(batch)}`);
  const answer = await world.ask(`publish of ${name(batch)}`, () =>
    world.queue(caller, MAIN).publish({ batch: batch.bytes }),
  );
  if (answer !== null) settleOutcome(world, batch, answer, false);
  else for (const message of batch.sent) message.outcome = "unknown";
  if (answer?.ok) world.say(`${name(batch)} is confirmed`);
}

/** Counts its messages, waits for each confirm, and repeats what it has no answer to. */
export class Producer {
  private readonly world: PartitionsWorld;
  private readonly name: string;
  private life = 1;
  private nextSequence = 1;
  isBusy = false;

  constructor(world: PartitionsWorld, producer: string) {
    this.world = world;
    this.name = producer;
  }

  async publish(caller: number, random: Random): Promise<void> {
    this.isBusy = true;
    const { world } = this;
    const batch = makeBatch(world, random.between(1, 5), true, random);
    const stamp = { id: `${this.name}.${this.life}`, sequence: this.nextSequence };
    this.nextSequence += batch.sent.length;
    world.say(`${stamp.id} publishes ${name(batch)} as ${stamp.sequence}`);
    const { answer, tries } = await this.repeat(caller, batch, stamp);
    settleOutcome(world, batch, answer, tries > 1);
    if (answer.ok) world.say(`${name(batch)} is confirmed at try ${tries}`);
    // A batch that was refused leaves a gap, which nothing may ever fill.
    else {
      this.life++;
      this.nextSequence = 1;
    }
    this.isBusy = false;
  }

  private async repeat(
    caller: number,
    { bytes }: Batch,
    producer: ProducerStamp,
  ): Promise<{ answer: Result<PublishConfirm>; tries: number }> {
    const { world } = this;
    for (let tries = 1; ; tries++) {
      const queue = world.queue(tries % 3 === 0 ? world.anyCaller() : caller, MAIN);
      const answer = await world.ask(`publish of ${producer.id} ${producer.sequence}`, () =>
        queue.publish({ batch: bytes, producer }),
      );
      if (answer !== null) return { answer, tries };
      await world.wait(world.random.pick([0, 300, 2_000]));
    }
  }
}
