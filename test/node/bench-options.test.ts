// Every benchmark takes the same options, and refuses the others before it starts anything.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { parseOptions } from "../bench/options.ts";

const ROOT = join(import.meta.dirname, "../..");
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};
const BENCHES = Object.entries(scripts)
  .filter(([name]) => /^bench(:|$)/.test(name))
  .map(([name, script]) => ({ name, file: /test\/bench\/\S+\.ts/.exec(script)![0] }));

async function run(file: string, ...args: string[]): Promise<{ status: number; said: string }> {
  const child = spawn(process.execPath, [join(ROOT, file), ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [out, err, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit") as Promise<[number]>,
  ]);
  return { status, said: out + err };
}

describe.each(BENCHES)("npm run $name", ({ file }) => {
  it("tells its options", async () => {
    const { status, said } = await run(file, "--rounds", "3", "--quick", "--help");
    expect(said).toMatch(/--rounds N[^]*--only TEXT[^]*--quick[^]*Parts:\n {2}\w/);
    expect(status).toBe(0);
  });

  it("refuses an option that it does not know", async () => {
    const { status, said } = await run(file, "--round", "3");
    expect(said).toContain("'--round'");
    expect(status).toBe(1);
  });
});

describe("a benchmark's options", () => {
  const bench = { what: "something", parts: ["socket, singly", "HTTP, by tens"] };

  it("choose parts and rounds", () => {
    const options = parseOptions(bench, ["--rounds", "3", "--only=http"]);
    if (typeof options === "string") throw new Error(options);
    expect(options.rounds(500)).toBe(3);
    expect(bench.parts.filter(options.wants)).toEqual(["HTTP, by tens"]);
  });

  it("make fewer rounds when in a hurry", () => {
    const options = parseOptions(bench, ["--quick"]);
    if (typeof options === "string") throw new Error(options);
    expect([1, 5, 500].map(options.rounds)).toEqual([1, 2, 50]);
  });

  it.each([
    [["--rounds", "many"], "--rounds: expected a whole number of at least 1, not 'many'"],
    [["--only", "carrier pigeon"], "--only: no part has 'carrier pigeon' in its name"],
    [["3"], "Unexpected argument '3'"],
  ])("are refused where they make no sense: %j", (args, words) => {
    expect(parseOptions(bench, args)).toContain(words);
  });
});
