/** The options of every benchmark, read in one place: all take the same ones, and refuse an unknown one with words. */
import { basename } from "node:path";
import { parseArgs } from "node:util";

export interface Bench {
  /** What it measures, for --help. */
  readonly what: string;
  /** Its parts by name: --only takes those whose names have its text in them. */
  readonly parts: readonly string[];
  /** What --quick makes smaller beside the rounds. */
  readonly quick?: string;
}

export interface BenchOptions {
  readonly isQuick: boolean;
  /** Rounds as given, or else the part's own, which are fewer when in a hurry. */
  readonly rounds: (own: number) => number;
  /** False for a part that --only leaves out. */
  readonly wants: (part: string) => boolean;
}

const OPTIONS = {
  rounds: { type: "string" },
  only: { type: "string", default: "" },
  quick: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

const ROUNDS_QUICK_MIN = 2;

/** Ends the process when asked for help, or when given what no benchmark knows. */
export function readOptions(bench: Bench, args: readonly string[] = process.argv.slice(2)): BenchOptions {
  const outcome = parseOptions(bench, args);
  if (typeof outcome !== "string") return outcome;
  const help = helpOf(bench);
  if (outcome === "help") console.log(help);
  else console.error(`${outcome}\n\n${help}`);
  return process.exit(outcome === "help" ? 0 : 1);
}

/** The options, "help" when that is asked for, or what is wrong with them. */
export function parseOptions(bench: Bench, args: readonly string[]): BenchOptions | string {
  const values = valuesOf(args);
  if (typeof values === "string") return values;
  const { only, quick: isQuick, help } = values;
  if (help) return "help";
  const given = values.rounds === undefined ? undefined : Number(values.rounds);
  if (given !== undefined && !(Number.isSafeInteger(given) && given >= 1))
    return `--rounds: expected a whole number of at least 1, not '${values.rounds}'`;
  const wants = (part: string): boolean => part.toLowerCase().includes(only.toLowerCase());
  if (!bench.parts.some(wants)) return `--only: no part has '${only}' in its name`;
  const ownRounds = (own: number): number =>
    isQuick ? Math.min(own, Math.max(ROUNDS_QUICK_MIN, Math.round(own / 10))) : own;
  return { isQuick, wants, rounds: (own) => given ?? ownRounds(own) };
}

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"];

function valuesOf(args: readonly string[]): Values | string {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    return (error as Error).message;
  }
}

function helpOf({ what, parts, quick }: Bench): string {
  const lines = [
    `${basename(process.argv[1] ?? "", ".ts")}: ${what}`,
    "",
    "  --rounds N    measure each part N times",
    "  --only TEXT   measure only parts with TEXT in their names",
    `  --quick       fewer rounds${quick === undefined ? "" : `, ${quick}`}`,
    "  --help        show this",
    "",
    "Parts:",
    ...parts.map((part) => `  ${part}`),
  ];
  return lines.join("\n");
}
