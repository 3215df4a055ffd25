/**
 * What the platform itself takes: an object with a socket that echoes a frame, sends it to every socket, or
 * stores it in one row and answers.
 * No broker can be faster on it.
 */
import { DurableObject } from "cloudflare:workers";
import { BROADCAST, ECHO } from "./bound-kinds.ts";

interface BoundEnv {
  readonly BOUND: DurableObjectNamespace;
}

export class BoundObject extends DurableObject<BoundEnv> {
  constructor(ctx: DurableObjectState, env: BoundEnv) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS bound (id INTEGER PRIMARY KEY, bytes BLOB) STRICT");
  }

  override async fetch(): Promise<Response> {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    if (typeof data === "string") return;
    const kind = new Uint8Array(data)[0];
    if (kind === ECHO) {
      socket.send(data);
      return;
    }
    if (kind === BROADCAST) {
      for (const each of this.ctx.getWebSockets()) each.send(data);
      return;
    }
    // The output gate holds the answer until the row is on disk.
    this.ctx.storage.sql.exec("INSERT INTO bound (bytes) VALUES (?)", data);
    socket.send("stored");
  }
}

export default {
  fetch: (request, env) => {
    if (request.headers.get("Upgrade") !== "websocket") return new Response("ok");
    return env.BOUND.getByName("bound").fetch(request);
  },
} satisfies ExportedHandler<BoundEnv>;
