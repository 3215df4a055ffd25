// A TCP proxy that a test can cut: what lies on the way is lost, as when a network goes away.
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class CutProxy {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private isDown = false;
  private isDeaf = false;

  private constructor(target: URL) {
    this.server = createServer((socket) => {
      if (this.isDown) {
        socket.destroy();
        return;
      }
      const upstream = connect(Number(target.port), target.hostname);
      this.join(socket, upstream, () => true);
      this.join(upstream, socket, () => !this.isDeaf);
    });
  }

  static async start(target: string): Promise<CutProxy> {
    const proxy = new CutProxy(new URL(target));
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private join(from: Socket, to: Socket, isPassing: () => boolean): void {
    this.sockets.add(from);
    from.on("data", (bytes) => {
      if (isPassing()) to.write(bytes);
    });
    from.on("error", () => undefined);
    from.on("close", () => {
      this.sockets.delete(from);
      to.destroy();
    });
  }

  /** Breaks all connections; with `down`, new ones too, until `up`. */
  cut(options: { down?: boolean } = {}): void {
    this.isDown = options.down === true;
    this.isDeaf = false;
    for (const socket of this.sockets) socket.destroy();
  }
  up(): void {
    this.isDown = false;
  }
  /** What the broker says is lost from now on, until the next cut. */
  deafen(): void {
    this.isDeaf = true;
  }

  async stop(): Promise<void> {
    this.cut({ down: true });
    this.server.close();
    await once(this.server, "close");
  }
}
