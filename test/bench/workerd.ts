/**
 * A Worker on workerd itself: `workerd serve` with SQLite storage on disk. `wrangler dev` has a proxy process and a
 * router in between, which a deployment has not.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { freePort, freshFolder, start, untilListening } from "./processes.ts";

export interface WorkerdOptions {
  /** Where the bundle lies: `worker.js`, and its `.wasm` files. */
  readonly bundle: string;
  /** Binding to class; all of them keep their storage in SQLite. */
  readonly objects: Readonly<Record<string, string>>;
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  /** For a binding `ASSETS`. */
  readonly assets?: string;
  /** Opens the inspector, for profiles. */
  readonly isInspected?: boolean;
}

export interface Workerd {
  readonly url: string;
  readonly pid: number;
  readonly storage: string;
  readonly inspectorPort: number | null;
  stop(): Promise<void>;
}

export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  const port = await freePort();
  const inspectorPort = options.isInspected === true ? await freePort() : null;
  const storage = freshFolder("storage");
  const config = join(options.bundle, "config.capnp");
  writeFileSync(config, configText(options, storage, port));
  const inspect = inspectorPort === null ? [] : [`--inspector-addr=127.0.0.1:${inspectorPort}`];
  const program = start(workerdPath(), ["serve", config, ...inspect]);
  await untilListening(program, port);
  const url = `http://127.0.0.1:${port}`;
  return { url, pid: program.pid, storage, inspectorPort, stop: () => program.stop() };
}

/** The one that wrangler brings. */
function workerdPath(): string {
  const wrangler = createRequire(import.meta.url).resolve("wrangler/package.json");
  return (createRequire(wrangler)("workerd") as { default: string }).default;
}

function configText(options: WorkerdOptions, storage: string, port: number): string {
  const text = (value: string): string => JSON.stringify(value);
  const wasm = readdirSync(options.bundle).filter((name) => name.endsWith(".wasm"));
  const classes = Object.entries(options.objects);
  const modules = [
    `(name = "worker.js", esModule = embed "worker.js")`,
    ...wasm.map((name) => `(name = ${text(`./${name}`)}, wasm = embed ${text(name)})`),
  ];
  const bindings = classes.map(
    ([binding, className]) => `(name = ${text(binding)}, durableObjectNamespace = ${text(className)})`,
  );
  const services = [
    `(name = "main", worker = .main)`,
    `(name = "storage", disk = (path = ${text(storage)}, writable = true))`,
  ];
  if (options.assets !== undefined) {
    services.push(`(name = "assets", disk = (path = ${text(options.assets)}))`);
    bindings.push(`(name = "ASSETS", service = "assets")`);
  }
  const namespaces = classes.map(
    ([, name]) => `(className = ${text(name)}, uniqueKey = ${text(`bench-${name}`)}, enableSql = true)`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [${services.join(", ")}],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [${modules.join(", ")}],
  compatibilityDate = ${text(options.compatibilityDate)},
  compatibilityFlags = [${options.compatibilityFlags.map(text).join(", ")}],
  bindings = [${bindings.join(", ")}],
  durableObjectNamespaces = [${namespaces.join(", ")}],
  durableObjectStorage = (localDisk = "storage"),
);
`;
}
