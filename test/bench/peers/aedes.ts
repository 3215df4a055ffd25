/** aedes in a Node process of its own, over WebSockets. */
import { once } from "node:events";
import { join } from "node:path";
import { freePort, startNode, stopChild } from "../processes.ts";
import type { Peer } from "./peer.ts";

export async function startAedes(): Promise<Peer> {
  const port = await freePort();
  const child = startNode(join(import.meta.dirname, "aedes-server.ts"), [String(port)]);
  await once(child, "message");
  return { url: `ws://127.0.0.1:${port}`, pid: child.pid!, stop: () => stopChild(child) };
}
