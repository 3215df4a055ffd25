/** What users of boto3 rely on: Debian's, which speaks the Query protocol, against a broker that wants signatures. */
import { execFileSync, spawn } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SqsBroker } from "../../support/sqs-broker.ts";
import { SECRET } from "../../support/token.ts";

const PYTHON = "/usr/bin/python3";
const SCRIPT = join(import.meta.dirname, "boto3_claims.py");
const TOKEN = join(import.meta.dirname, "../../../examples/token.ts");

interface Verdict {
  readonly name: string;
  readonly ok: boolean;
  readonly error: string | null;
}

/** Of each file its claims, by their functions' names. */
const claims = globSync("claims/*.py", { cwd: import.meta.dirname })
  .sort()
  .map((path) => {
    const text = readFileSync(join(import.meta.dirname, path), "utf8");
    return {
      about: basename(path, ".py").replaceAll("_", " "),
      names: [...text.matchAll(/^def (test_\w+)\(/gm)].map((match) => match[1]!),
    };
  })
  .filter(({ names }) => names.length > 0);

const verdicts = new Map(
  claims.flatMap(({ names }) => names.map((name) => [name, Promise.withResolvers<Verdict>()])),
);
const broker = new SqsBroker({ MILLRACE_SECRET: SECRET });
let run: ReturnType<typeof runClaims> | undefined;

beforeAll(async () => {
  await broker.start();
  run = runClaims({
    MILLRACE_URL: broker.url,
    SENDER: "boto3",
    ...accessKey("", "boto3", ["publish:#", "consume:#", "manage:#"]),
    ...accessKey("READER_", "reader", ["consume:readable"]),
  });
});
afterAll(async () => {
  run?.kill();
  await broker.stop();
});

/** The variables that tell a key, made as users make them. */
function accessKey(prefix: string, subject: string, grants: readonly string[]): Record<string, string> {
  const options = ["--access-key", "--subject", subject, ...grants.flatMap((grant) => ["--grant", grant])];
  const printed = execFileSync(process.execPath, [TOKEN, ...options], {
    encoding: "utf8",
    env: { ...process.env, MILLRACE_SECRET: SECRET },
  });
  const lines = printed.trim().split("\n");
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at).replace(/^AWS_/, prefix || "AWS_"), line.slice(at + 1)];
    }),
  );
}

/** All of them in one process; each verdict is there as soon as it is told. */
function runClaims(variables: Record<string, string>) {
  const python = spawn(PYTHON, ["-B", SCRIPT], {
    // Nothing of whoever runs this may lead boto3 elsewhere.
    env: { PATH: process.env["PATH"], AWS_EC2_METADATA_DISABLED: "true", ...variables },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let complaints = "";
  python.stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  createInterface(python.stdout).on("line", (line) => {
    const verdict = JSON.parse(line) as Verdict;
    verdicts.get(verdict.name)?.resolve(verdict);
  });
  const giveUp = (why: string): void => {
    const error = `${why}: it did not get here. ${complaints}`;
    for (const [name, { resolve }] of verdicts) resolve({ name, ok: false, error });
  };
  python.on("error", (error) => giveUp(`${PYTHON} and its package boto3 are needed: ${error.message}`));
  python.on("close", (code) => giveUp(`The claims ended with ${code}`));
  return python;
}

describe.each(claims)("boto3, $about:", ({ names }) => {
  it.each(names)("%s", async (name) => {
    const { ok, error } = await verdicts.get(name)!.promise;
    expect(ok, error ?? "").toBe(true);
  });
});
