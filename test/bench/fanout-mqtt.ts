/** A subscriber and a publisher of MQTT 3.1.1, QoS 0, over WebSocket, with no more than it takes. */
import { generate, type Packet } from "mqtt-packet";
import type { WebSocket } from "ws";
import { openSocket } from "./frames.ts";
import type { Link, Take } from "./fanout-link.ts";

const TOPIC = "bench/fanout";

export async function linkMqtt(url: string, number: number, take: Take | null): Promise<Link> {
  const socket = await openSocket(url, ["mqtt"]);
  const packets = new PacketReader(take);
  socket.on("message", (chunk: Buffer) => packets.read(chunk));
  const connected = packets.next(CONNACK);
  send(socket, {
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 4,
    clientId: `bench-${number}-${process.pid}`,
    clean: true,
    keepalive: 0,
  });
  await connected;
  if (take !== null) {
    const subscribed = packets.next(SUBACK);
    send(socket, { cmd: "subscribe", messageId: 1, subscriptions: [{ topic: TOPIC, qos: 0 }] });
    await subscribed;
  }
  return {
    publish: (bodies) => {
      for (const payload of bodies) {
        send(socket, { cmd: "publish", topic: TOPIC, payload, qos: 0, retain: false, dup: false });
      }
    },
    close: () => socket.terminate(),
  };
}

function send(socket: WebSocket, packet: Packet): void {
  socket.send(generate(packet));
}

const CONNACK = 2;
const PUBLISH = 3;
const SUBACK = 9;

/** Finds the packets in a stream that is cut anywhere, and the body of those that are messages. */
class PacketReader {
  private rest: Buffer | null = null;
  private readonly take: Take | null;
  private readonly waiting = new Map<number, () => void>();

  constructor(take: Take | null) {
    this.take = take;
  }

  next(type: number): Promise<void> {
    return new Promise((resolve) => this.waiting.set(type, resolve));
  }

  read(chunk: Buffer): void {
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk]);
    let at = 0;
    for (let size = sizeOf(bytes, at); size > 0; size = sizeOf(bytes, at)) {
      this.packet(bytes, at, size);
      at += size;
    }
    this.rest = at < bytes.length ? bytes.subarray(at) : null;
  }

  private packet(bytes: Buffer, at: number, size: number): void {
    const type = bytes[at]! >> 4;
    if (type !== PUBLISH) {
      this.waiting.get(type)?.();
      return;
    }
    let topicAt = at + 1;
    while (bytes[topicAt]! >= 0x80) topicAt++;
    topicAt++;
    this.take?.(bytes, topicAt + 2 + bytes.readUInt16BE(topicAt), at + size);
  }
}

/** Of the packet that begins here, or 0 when not all of it is there. */
function sizeOf(bytes: Buffer, at: number): number {
  let size = 0;
  for (let i = 1; i <= 4; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return 0;
    size |= (byte & 0x7f) << (7 * (i - 1));
    if (byte < 0x80) return at + 1 + i + size <= bytes.length ? 1 + i + size : 0;
  }
  throw new Error("a packet without a size");
}
