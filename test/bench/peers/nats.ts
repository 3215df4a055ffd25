/** NATS with JetStream on loopback, its streams in a fresh folder. */
import { existsSync } from "node:fs";
import { freePort, freshFolder, start, untilListening } from "../processes.ts";
import type { Peer } from "./peer.ts";

const SERVER = "/usr/sbin/nats-server";

export async function startNats(): Promise<Peer | null> {
  if (!existsSync(SERVER)) return null;
  const port = await freePort();
  const args = ["-a", "127.0.0.1", "-p", String(port), "-js", "-sd", freshFolder("nats")];
  const server = start(SERVER, args);
  await untilListening(server, port);
  return { url: `nats://127.0.0.1:${port}`, pid: server.pid, stop: () => server.stop() };
}
