/**
 * Ours and the peers, alternately in one run: what slows the machine for a while slows all of them. So the ratios of
 * two runs on a noisy machine agree where their rates don't.
 */

export interface Contestant {
  readonly name: string;
  /** One round. Verifies its answers and throws when one is wrong. Returns what it reached, in the contest's unit. */
  round(): number | Promise<number>;
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Outcome {
  readonly name: string;
  readonly reached: Spread;
  /** The first contestant's part in this one's, round by round: above 1 it is ahead. Absent for the first itself. */
  readonly ratio?: Spread;
}

export interface ContestResult {
  readonly title: string;
  /** More is better: "messages/s", "topics/s". */
  readonly unit: string;
  readonly rounds: number;
  readonly outcomes: readonly Outcome[];
  /** Peers that could not take part, and why. */
  readonly absent: readonly string[];
}

export interface Contest {
  readonly title: string;
  readonly unit: string;
  readonly rounds: number;
  /** The first is ours; the others are compared with it. */
  readonly contestants: readonly Contestant[];
  readonly absent?: readonly string[];
}

/** One round of each to warm up, which is thrown away, and then the rounds, each in another order. */
export async function hold(contest: Contest): Promise<ContestResult> {
  const { title, unit, rounds, contestants, absent = [] } = contest;
  const reached = contestants.map((): number[] => []);
  for (let round = -1; round < rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const index = (turn + round + 1) % contestants.length;
      const rate = await contestants[index]!.round();
      if (round >= 0) reached[index]!.push(rate);
    }
  }
  const outcomes = contestants.map(({ name }, index): Outcome => {
    const mine = { name, reached: spread(reached[index]!) };
    if (index === 0) return mine;
    return { ...mine, ratio: spread(reached[index]!.map((rate, round) => reached[0]![round]! / rate)) };
  });
  return { title, unit, rounds, outcomes, absent };
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}
