/** The SDK under Deno: its own tests run there, unchanged. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

it("passes the SDK's tests", async () => {
  const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
  const run = promisify(execFile)(
    join(ROOT, "node_modules/.bin/deno"),
    [
      "run",
      "--allow-all",
      vitest,
      "run",
      "--config",
      "test/vitest.config.ts",
      "--project",
      "core",
      "--reporter=json",
      "test/core/client",
    ],
    { cwd: ROOT, env: { ...process.env, NO_COLOR: "1" }, maxBuffer: 2 ** 24 },
  );
  const { stdout } = await run.catch((error: { stdout: string; stderr: string }) => error);
  const report = JSON.parse(stdout.slice(stdout.indexOf("{"))) as Record<string, unknown>;
  expect(report).toMatchObject({ success: true, numFailedTests: 0 });
  expect(report["numPassedTests"]).toBeGreaterThan(100);
});
