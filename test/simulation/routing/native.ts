/**
 * Loads the simulation with Node's own loader, where the broker's objects find a stand-in for what only workerd has. So
 * they run as they are shipped.
 */
import { createRequire, registerHooks } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const STAND_IN = pathToFileURL(join(import.meta.dirname, "stand-in.ts")).href;

let isHooked = false;

export function loadRoutingSimulator(): typeof import("./simulate.ts") {
  return loadNatively("./simulate.ts") as typeof import("./simulate.ts");
}

export function loadPartitionsSimulator(): typeof import("../partitions/simulate.ts") {
  return loadNatively("../partitions/simulate.ts") as typeof import("../partitions/simulate.ts");
}

function loadNatively(path: string): unknown {
  if (!isHooked) {
    isHooked = true;
    registerHooks({
      resolve(specifier, context, next) {
        const isOfWorkerd = specifier === "cloudflare:workers" || specifier.endsWith("/millrace.wasm");
        return isOfWorkerd ? { url: STAND_IN, shortCircuit: true } : next(specifier, context);
      },
    });
  }
  const load = createRequire(import.meta.url);
  (load("./limits.ts") as typeof import("./limits.ts")).shrinkLimits();
  return load(path);
}
