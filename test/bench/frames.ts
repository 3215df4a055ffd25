/** A bare WebSocket client that sends frames and counts the answers: no library of ours or a peer's between. */
import { once } from "node:events";
import { WebSocket } from "ws";

export async function openSocket(url: string, protocols: readonly string[] = []): Promise<WebSocket> {
  const socket = new WebSocket(url, [...protocols], { perMessageDeflate: false });
  await once(socket, "open");
  return socket;
}

export interface Exchange {
  readonly socket: WebSocket;
  readonly frame: Uint8Array;
  readonly count: number;
  /** Frames on their way at most. */
  readonly window: number;
}

/** Each frame has one answer, in their order. Resolves with how long each took, in ms. */
export function exchange({ socket, frame, count, window }: Exchange): Promise<number[]> {
  return new Promise((resolve) => {
    const tookMs: number[] = [];
    const sentMs: number[] = [];
    const send = (): void => {
      sentMs.push(performance.now());
      socket.send(frame);
    };
    const hear = (): void => {
      tookMs.push(performance.now() - sentMs[tookMs.length]!);
      if (sentMs.length < count) send();
      if (tookMs.length < count) return;
      socket.off("message", hear);
      resolve(tookMs);
    };
    socket.on("message", hear);
    for (let i = 0; i < Math.min(window, count); i++) send();
  });
}
