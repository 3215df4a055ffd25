/** Our broker as it is shipped: the bundle that `npm run deploy` would upload, on workerd, with nothing in between. */
import { execFileSync } from "node:child_process";
import { cpSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { unstable_readConfig as readConfig } from "wrangler";
import { freshFolder } from "./processes.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";

const ROOT = join(import.meta.dirname, "../..");

/** What is read of wrangler.toml. */
export interface ReadConfig {
  readonly compatibility_date: string;
  readonly compatibility_flags: readonly string[];
  readonly durable_objects: { readonly bindings: readonly { name: string; class_name: string }[] };
}

export interface ShippedOptions {
  readonly isInspected?: boolean;
  readonly minify?: boolean;
  /** A Worker to build in place of the shipped one; its file is called `worker.ts`. */
  readonly entry?: string;
}

export async function startShippedBroker(options: ShippedOptions = {}): Promise<Workerd> {
  const { isInspected = false, minify = true, entry } = options;
  const bundle = bundled(minify, entry);
  const config = shippedConfig();
  return startWorkerd({
    bundle,
    objects: Object.fromEntries(
      config.durable_objects.bindings.map(({ name, class_name }) => [name, class_name]),
    ),
    compatibilityDate: config.compatibility_date,
    compatibilityFlags: config.compatibility_flags,
    assets: join(ROOT, "build/site"),
    isInspected,
  });
}

export function shippedConfig(): ReadConfig {
  return readConfig({ config: join(ROOT, "wrangler.toml") }) as ReadConfig;
}

/** By what they were made of: building one takes seconds. */
const bundles = new Map<string, string>();

/** What `wrangler deploy` makes of an unedited wrangler.toml. A profile is easier to read when it isn't minified. */
function bundled(minify: boolean, entry?: string): string {
  const folder = freshFolder("bundle");
  const key = `${minify} ${entry}`;
  const known = bundles.get(key);
  if (known !== undefined) {
    cpSync(known, folder, { recursive: true });
    return folder;
  }
  bundles.set(key, folder);
  const wrangler = join(
    dirname(createRequire(import.meta.url).resolve("wrangler/package.json")),
    "bin/wrangler.js",
  );
  const script = entry === undefined ? [] : [entry];
  const args = ["deploy", ...script, "--dry-run", ...(minify ? ["--minify"] : []), "--outdir", folder];
  const env = { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "true" };
  execFileSync(process.execPath, [wrangler, ...args], { cwd: ROOT, env, stdio: "pipe" });
  return folder;
}
