/** Mosquitto on loopback with a listener for WebSockets, and without its limits on what waits to be sent. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, freshFolder, start, untilListening } from "../processes.ts";
import type { Peer } from "./peer.ts";

const SERVER = "/usr/sbin/mosquitto";

export async function startMosquitto(): Promise<Peer | null> {
  if (!existsSync(SERVER)) return null;
  const port = await freePort();
  const config = join(freshFolder("mosquitto"), "mosquitto.conf");
  const lines = [
    // 2.0.11 ends at once when all its listeners are for WebSockets.
    `listener ${await freePort()} 127.0.0.1`,
    `listener ${port} 127.0.0.1`,
    "protocol websockets",
    "allow_anonymous true",
    "persistence false",
    "max_queued_messages 0",
    "max_inflight_messages 0",
    "log_type error",
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const server = start(SERVER, ["-c", config]);
  await untilListening(server, port);
  return { url: `ws://127.0.0.1:${port}`, pid: server.pid, stop: () => server.stop() };
}
