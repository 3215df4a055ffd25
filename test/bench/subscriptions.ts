/**
 * What is bound, and what is published, in a fleet of devices: topics are `region.city.device.metric`. The fleet grows
 * with the count of patterns, as it does where people add devices and subscribe to them: one device for every two
 * patterns, spread over 96 cities of 8 regions, with 24 metrics each.
 *
 * A pattern is either about one device or about many (a tenth, or all of its kind that there are). Patterns are all
 * different, so what can be said in few ways (`*.city.*.metric`) is soon said, and the rest is about single devices.
 */
import { Random } from "../simulation/random.ts";

/** What a pattern looks like: which words it leaves open. */
type Shape = "literal" | "oneStar" | "twoStars" | "hashAtEnd" | "hashInFront" | "hashInMiddle";

export interface Mix {
  readonly name: string;
  /** Of a hundred patterns. */
  readonly shares: Readonly<Record<Shape, number>>;
}

export const MIXES: readonly Mix[] = [
  {
    name: "literal-heavy",
    shares: { literal: 70, oneStar: 15, twoStars: 3, hashAtEnd: 10, hashInFront: 1, hashInMiddle: 1 },
  },
  {
    name: "mixed",
    shares: { literal: 35, oneStar: 25, twoStars: 10, hashAtEnd: 20, hashInFront: 5, hashInMiddle: 5 },
  },
  {
    name: "wildcard-heavy",
    shares: { literal: 10, oneStar: 30, twoStars: 20, hashAtEnd: 20, hashInFront: 10, hashInMiddle: 10 },
  },
];

const REGIONS = "eu-west eu-north us-east us-west ap-south ap-east sa-east af-south".split(" ");
const CITIES_PER_REGION = 12;
const METRICS = (
  "temperature humidity pressure voltage current power energy speed torque vibration noise light level flow " +
  "position heading battery signal uptime errors restarts alarm door firmware"
).split(" ");

interface Device {
  readonly region: string;
  readonly city: string;
  readonly name: string;
}

export class Fleet {
  private readonly random: Random;
  private readonly devices: readonly Device[];

  constructor(patterns: number, seed: number) {
    this.random = new Random(seed);
    this.devices = Array.from({ length: Math.max(2, patterns >> 1) }, (_, i) => {
      const region = this.random.between(0, REGIONS.length - 1);
      const city = this.random.between(0, CITIES_PER_REGION - 1);
      return {
        region: REGIONS[region]!,
        city: `${REGIONS[region]!}-city-${city}`,
        name: `device-${String(i).padStart(6, "0")}`,
      };
    });
  }

  /** So many patterns, all different. */
  patterns({ shares }: Mix, count: number): string[] {
    const shapes = Object.entries(shares).map(([shape, share]) => [share, shape as Shape] as const);
    const patterns = new Set<string>();
    while (patterns.size < count) patterns.add(this.pattern(this.random.weighted(shapes)));
    return [...patterns];
  }

  /**
   * So many topics, all different: six of ten of devices that there are, so that some pattern may be about them, two
   * made from a pattern, which they match, and two of devices that nobody knows of, or with a word too many.
   */
  topics(patterns: readonly string[], count: number): string[] {
    const topics = new Set<string>();
    while (topics.size < count) {
      const kind = this.random.between(0, 9);
      topics.add(
        kind < 6 ? this.known() : kind < 8 ? this.fitting(this.random.pick(patterns)) : this.unknown(),
      );
    }
    return [...topics];
  }

  private pattern(shape: Shape): string {
    const { region, city, name } = this.random.pick(this.devices);
    const metric = this.random.pick(METRICS);
    const isBroad = this.random.chance(0.1);
    switch (shape) {
      case "literal":
        return `${region}.${city}.${name}.${metric}`;
      case "oneStar":
        if (isBroad) return `${region}.${city}.*.${metric}`;
        return this.random.chance(0.7) ? `${region}.${city}.${name}.*` : `${region}.*.${name}.${metric}`;
      case "twoStars":
        if (isBroad) return this.random.chance(0.5) ? `${region}.*.*.${metric}` : `*.${city}.*.${metric}`;
        return this.random.chance(0.5) ? `*.*.${name}.${metric}` : `${region}.*.${name}.*`;
      case "hashAtEnd":
        if (isBroad) return this.random.chance(0.2) ? `${region}.#` : `${region}.${city}.#`;
        return `${region}.${city}.${name}.#`;
      case "hashInFront":
        if (isBroad) return `#.${metric}`;
        return this.random.chance(0.5) ? `#.${name}.${metric}` : `#.${name}.#`;
      case "hashInMiddle":
        return isBroad ? `${region}.#.${metric}` : `${region}.#.${name}.${metric}`;
    }
  }

  private known(): string {
    const { region, city, name } = this.random.pick(this.devices);
    return `${region}.${city}.${name}.${this.random.pick(METRICS)}`;
  }

  private fitting(pattern: string): string {
    const { region, city, name } = this.random.pick(this.devices);
    const words = [region, city, name, this.random.pick(METRICS)];
    return pattern
      .split(".")
      .map((word, i) => (word === "*" || word === "#" ? words[i]! : word))
      .join(".");
  }

  private unknown(): string {
    if (this.random.chance(0.5)) return `${this.known()}.${this.random.pick(METRICS)}`;
    const { region, city } = this.random.pick(this.devices);
    return `${region}.${city}.guest-${this.random.between(0, 9_999_999)}.${this.random.pick(METRICS)}`;
  }
}

/** Draws from some topics as publishers do where a few are busy: the n-th is drawn about 1/n as often as the first. */
export function busyTopics(topics: readonly string[], count: number, seed: number): string[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => topics[Math.floor(topics.length ** random.next()) - 1]!);
}
