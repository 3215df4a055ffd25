// `node aedes-server.ts <port>`: aedes over WebSockets.
import { createServer } from "node:http";
import { Duplex } from "node:stream";
import { Aedes } from "aedes";
import { WebSocketServer, type WebSocket } from "ws";

/**
 * aedes writes a packet in several pieces. The stream of its own example sends a frame for each of them; this one
 * sends what is written in one turn as one frame.
 */
class SocketStream extends Duplex {
  private readonly socket: WebSocket;

  constructor(socket: WebSocket) {
    super();
    this.socket = socket;
    socket.on("message", (data: Buffer) => this.push(data));
    socket.on("close", () => this.destroy());
    socket.on("error", () => this.destroy());
  }

  override _read(): void {
    // Frames are pushed as they come.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.socket.send(chunk, { binary: true }, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const whole = Buffer.concat(chunks.map(({ chunk }) => chunk));
    this.socket.send(whole, { binary: true }, done);
  }
}

const broker = await Aedes.createBroker();
const http = createServer();
const sockets = new WebSocketServer({
  server: http,
  perMessageDeflate: false,
  handleProtocols: () => "mqtt",
});
sockets.on("connection", (socket, request) => {
  broker.handle(new SocketStream(socket), request);
});
http.listen(Number(process.argv[2]), "127.0.0.1", () => process.send!("ready"));
