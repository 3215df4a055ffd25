// WebSockets between clients and hubs: frames arrive in order and late, and either side may be gone.
import type { SocketEvent, WebSocketLike } from "../../../src/client/socket.ts";
import type { Loop } from "./loop.ts";

/** What the object holds. Its attachment outlives the object's stay in memory. */
export class ServerSocket {
  isClosed = false;
  /** When the platform last answered a ping of the client. */
  pingMs: number | null = null;
  peer: ClientSocket | null = null;
  /** Sent before the client's end was open. */
  private early: SocketEvent[] = [];
  private attachment: string | null = null;

  send(data: string | Uint8Array): void {
    if (this.isClosed) throw new Error("the socket is closed");
    const event = { data: typeof data === "string" ? data : data.slice().buffer };
    if (this.peer) this.peer.arrive(event);
    else this.early.push(event);
  }

  connect(peer: ClientSocket): void {
    this.peer = peer;
    for (const event of this.early.splice(0)) peer.arrive(event);
  }

  close(code = 1005, reason = ""): void {
    if (this.isClosed) throw new Error("the socket is closed");
    this.isClosed = true;
    this.peer?.closedByServer(code, reason);
  }

  serializeAttachment(value: unknown): void {
    this.attachment = JSON.stringify(value);
    if (this.attachment.length * 2 > 16_384) throw new Error("an attachment over 16 KiB");
  }

  deserializeAttachment(): unknown {
    return this.attachment === null ? null : JSON.parse(this.attachment);
  }
}

/** The platform's pair: the first end travels in the response, the second is accepted by the object. */
export class SocketPair {
  readonly 0: { server: ServerSocket };
  readonly 1: ServerSocket;

  constructor() {
    this[1] = new ServerSocket();
    this[0] = { server: this[1] };
  }
}

/** How a client's socket reaches its hub. */
export interface Network {
  readonly loop: Loop;
  latency(): number;
  /** Opens a socket at the hub; null when it is refused or can't be reached. */
  open(url: string, protocols: readonly string[]): Promise<ServerSocket | null>;
  toServer(server: ServerSocket, data: string | ArrayBuffer): void;
  closed(server: ServerSocket, code: number): void;
}

type Arrival = SocketEvent & { readonly type?: "close" };

/** What the SDK holds. */
export class ClientSocket implements WebSocketLike {
  binaryType = "blob";
  readonly bufferedAmount = 0;
  private readonly network: Network;
  private readonly listeners = new Map<string, (event: SocketEvent) => void>();
  private server: ServerSocket | null = null;
  private readonly arrivals: Arrival[] = [];
  private readonly sent: (string | ArrayBuffer)[] = [];
  /** No event is heard any more. */
  private isOver = false;

  constructor(network: Network, url: string, protocols: readonly string[]) {
    this.network = network;
    void network.open(url, protocols).then((server) => {
      network.loop.later(network.latency(), () => this.opened(server));
    });
  }

  private opened(server: ServerSocket | null): void {
    if (this.isOver) {
      if (server !== null) this.network.closed(server, 1006);
      return;
    }
    if (server === null) return this.end(1006);
    this.server = server;
    this.emit("open", {});
    server.connect(this);
  }

  get hub(): ServerSocket | null {
    return this.server;
  }

  addEventListener(type: string, listener: (event: SocketEvent) => void): void {
    this.listeners.set(type, listener);
  }

  private emit(type: string, event: SocketEvent): void {
    this.listeners.get(type)?.(event);
  }

  // From the hub

  arrive(event: Arrival): void {
    this.arrivals.push(event);
    this.network.loop.later(this.network.latency(), () => {
      const next = this.arrivals.shift();
      if (next === undefined || this.isOver) return;
      if (next.type === "close") this.end(next.code ?? 1006, next.reason);
      else this.emit("message", next);
    });
  }

  closedByServer(code: number, reason: string): void {
    this.arrive({ type: "close", code, reason });
    const { server } = this;
    if (server) this.network.loop.later(this.network.latency() * 2, () => this.network.closed(server, code));
  }

  private end(code: number, reason = ""): void {
    if (this.isOver) return;
    this.isOver = true;
    this.emit("close", { code, reason });
  }

  /** The connection breaks; the hub hears of it later, or (`isSilent`) when the platform has given it up. */
  lose(isSilent: boolean): void {
    const { server } = this;
    this.network.loop.later(this.network.latency(), () => this.end(1006));
    if (server === null) return;
    server.peer = null;
    const laterMs = isSilent ? 200_000 : this.network.latency() * 5;
    this.network.loop.later(laterMs, () => this.network.closed(server, 1006));
  }

  // To the hub

  send(data: string | Uint8Array): void {
    if (this.server === null || this.isOver) return;
    this.sent.push(typeof data === "string" ? data : data.slice().buffer);
    const { server } = this;
    this.network.loop.later(this.network.latency(), () => {
      const next = this.sent.shift();
      if (next !== undefined && server.peer === this) this.network.toServer(server, next);
    });
  }

  close(code = 1005): void {
    if (this.isOver) return;
    this.isOver = true;
    const { server } = this;
    if (server === null) return;
    this.network.loop.later(this.network.latency(), () => this.network.closed(server, code));
  }
}
