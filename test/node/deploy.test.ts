// Deployable as it stands: wrangler builds what `npm run deploy` would upload, from an unedited wrangler.toml.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "millrace-deploy-"));
const wrangler = join(
  dirname(createRequire(import.meta.url).resolve("wrangler/package.json")),
  "bin/wrangler.js",
);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What the free plan takes, compressed. */
const WORKER_BYTES_MAX = 3 * 1024 * 1024;

function sizes(path: string): { bytes: number; gzipped: number } {
  return { bytes: statSync(path).size, gzipped: gzipSync(readFileSync(path)).byteLength };
}

describe("a deployment", () => {
  it("builds with `wrangler deploy --dry-run` and is small", () => {
    const env = { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "true" };
    execFileSync(process.execPath, [wrangler, "deploy", "--dry-run", "--minify", "--outdir", folder], {
      cwd: root,
      env,
    });
    const files = readdirSync(folder).filter((name) => /\.(js|wasm)$/.test(name));
    let total = 0;
    for (const name of files) {
      const { bytes, gzipped } = sizes(join(folder, name));
      console.log(`${name}: ${bytes} bytes, ${gzipped} gzipped`);
      total += gzipped;
    }
    expect(files.some((name) => name.endsWith(".js"))).toBe(true);
    expect(files.some((name) => name.endsWith(".wasm"))).toBe(true);
    expect(total).toBeLessThan(WORKER_BYTES_MAX);
  });

  it("ships an SDK without dependencies", () => {
    const { bytes, gzipped } = sizes(join(root, "build/client.js"));
    console.log(`client.js: ${bytes} bytes, ${gzipped} gzipped`);
    expect(readFileSync(join(root, "build/client.js"), "utf8")).not.toMatch(/^import /m);
  });
});
