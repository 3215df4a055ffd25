import type { Env as BrokerEnv } from "../../src/env.ts";

declare global {
  namespace Cloudflare {
    interface Env extends BrokerEnv {}
    interface GlobalProps {
      mainModule: typeof import("../../src/worker.ts");
      durableNamespaces: "QueueObject" | "NamespaceObject";
    }
  }
}
