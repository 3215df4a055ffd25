// One way for every fuzzer to be repeated: FUZZ_SEED and FUZZ_RUNS in the environment.

export interface FuzzRun {
  readonly seed: number;
  readonly numRuns: number;
}

/** A new seed each time unless FUZZ_SEED is set. Put it in the test's name, so that a failure can be repeated. */
export function fuzzRun(runs: number): FuzzRun {
  const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  return { seed, numRuns: Number(process.env["FUZZ_RUNS"] ?? runs) };
}
