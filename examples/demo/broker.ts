// Starts the broker as a developer would run it: `wrangler dev` on a free port, with its storage in a fresh folder.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const START_MS_MAX = 60_000;

export interface Broker {
  readonly url: string;
  /** Ends every process of it at once, without a goodbye; the storage stays for another start. */
  kill(): Promise<void>;
  /** Ends it and removes its storage. */
  stop(): Promise<void>;
}

export interface BrokerOptions {
  /** Where a broker that was killed listened and stored; absent: a free port and a fresh folder. */
  readonly port?: number;
  readonly folder?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Further arguments of `wrangler dev`. */
  readonly args?: readonly string[];
}

export async function startBroker(
  options: BrokerOptions = {},
): Promise<Broker & { port: number; folder: string }> {
  const port = options.port ?? (await freePort());
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "millrace-")));
  const wrangler = join(
    dirname(createRequire(import.meta.url).resolve("wrangler/package.json")),
    "bin/wrangler.js",
  );
  const listen = [
    "--port",
    String(port),
    "--inspector-port",
    "0",
    "--ip",
    "127.0.0.1",
    "--persist-to",
    folder,
  ];
  const child = spawn(
    process.execPath,
    [wrangler, "dev", ...listen, ...(options.args ?? []), "--show-interactive-dev-session=false"],
    {
      // In a group of its own, so that workerd ends with it.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        ...options.env,
        X_LOCAL_OBSERVABILITY: "false",
        WRANGLER_SEND_METRICS: "false",
        CI: "true",
      },
    },
  );
  let output = "";
  const keep = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-10_000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    process.kill(-child.pid!, "SIGKILL");
    await ended;
  };
  const stop = async (): Promise<void> => {
    await kill();
    await rm(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + START_MS_MAX;
  while (!(await answers(url))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`the broker did not start:\n${output}`);
    }
    await sleep(200);
  }
  return { url, port, folder, kill, stop };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`)).ok;
  } catch {
    return false;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
