/** The tiny Worker of bound-worker.ts, on workerd as the broker is. */
import { join } from "node:path";
import { build } from "esbuild";
import { freshFolder } from "./processes.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";
import { shippedConfig } from "./broker-process.ts";

export async function startBound(): Promise<Workerd> {
  const bundle = freshFolder("bound");
  await build({
    entryPoints: [join(import.meta.dirname, "bound-worker.ts")],
    outfile: join(bundle, "worker.js"),
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external: ["cloudflare:*"],
    logLevel: "warning",
  });
  const { compatibility_date, compatibility_flags } = shippedConfig();
  return startWorkerd({
    bundle,
    objects: { BOUND: "BoundObject" },
    compatibilityDate: compatibility_date,
    compatibilityFlags: compatibility_flags,
  });
}
