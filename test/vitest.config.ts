import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

// Projects in the order of their cost. `tidy`, `core` and `fuzz` are plain Node; `workers` runs inside workerd;
// `node` drives the whole broker from outside, over real sockets, with the SDK in Node, Deno and a browser.
const node = { testTimeout: 60_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      { test: { name: "tidy", root: ".", include: ["test/tidy.test.ts"], ...node } },
      { test: { name: "core", root: ".", include: ["test/core/**/*.test.ts"], ...node } },
      { test: { name: "fuzz", root: ".", include: ["test/fuzz/**/*.test.ts"], ...node } },
      { test: { name: "simulation", root: ".", include: ["test/simulation/**/*.test.ts"], ...node } },
      {
        // A bucket is bound here, as a deployment may.
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { r2Buckets: ["BODIES"] },
          }),
        ],
        test: { name: "workers", root: ".", include: ["test/workers/**/*.test.ts"], testTimeout: 30_000 },
      },
      {
        test: {
          name: "node",
          root: ".",
          include: ["test/{conformance,node,browser}/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
