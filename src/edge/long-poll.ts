/**
 * Waiting for a delivery. The Worker waits, on a socket to the queue's object, so that the object may sleep: a request
 * that waited inside it would keep it in memory, and billed.
 *
 *   consume ──► deliver ───────────────────────────► the delivery
 *      │ time is over
 *      └─► cancel ──► cancelled (or a deliver that raced it) ──► nothing (or that delivery)
 */
import type { Delivery } from "../protocol/commands.ts";
import { decodeFrame, type ConsumeFrame, type ServerFrame } from "../protocol/frames.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";
import type { QueueApi, SocketClaims } from "../protocol/rpc.ts";
import { socketOf, socketRequest } from "./socket.ts";

export interface Wait {
  readonly queue: QueueApi;
  readonly claims: SocketClaims;
  readonly frame: ConsumeFrame;
  readonly waitMs: number;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

/** How long an object may take to answer `cancel` before the socket is closed on it. */
const CANCEL_GRACE_MS = 5_000;

const NOTHING: Delivery = { lease: 0, untilMs: 0, runs: [], payload: new Uint8Array(0) };

export async function waitForDelivery(wait: Wait): Promise<Result<Delivery>> {
  const opened = await socketOf(await wait.queue.fetch(socketRequest(wait.claims)));
  if (!opened.ok) return opened;
  const socket = opened.value;
  // Since compatibility date 2026-03-17 the default is "blob", which can't be read at once.
  socket.binaryType = "arraybuffer";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const result = await new Promise<Result<Delivery>>((resolve) => {
    // Listeners first: what arrives between accept() and them would be lost.
    socket.addEventListener("message", (event) => {
      const outcome = outcomeOf(event.data as string | ArrayBuffer);
      if (outcome !== null) resolve(outcome);
    });
    socket.addEventListener("close", () => resolve(connectionLost()));
    socket.addEventListener("error", () => resolve(connectionLost()));
    wait.signal.addEventListener("abort", () => resolve(ok(NOTHING)), { once: true });
    socket.accept();
    socket.send(JSON.stringify(wait.frame));
    timer = setTimeout(() => {
      socket.send(JSON.stringify({ type: "cancel" }));
      timer = setTimeout(() => resolve(ok(NOTHING)), CANCEL_GRACE_MS);
    }, wait.waitMs);
    // The client may have gone while the socket was being opened.
    if (wait.signal.aborted) resolve(ok(NOTHING));
  });
  clearTimeout(timer);
  // Closing is also how the object learns that the client went: nobody would ever settle what it sends next.
  socket.close(1000, "done");
  return result;
}

function connectionLost(): Result<Delivery> {
  return refuse("unavailable", "wait: the connection to the queue was lost", { retryAfterMs: 1_000 });
}

/** What a frame decides, or null when the wait goes on. */
function outcomeOf(data: string | ArrayBuffer): Result<Delivery> | null {
  const decoded = decodeFrame(data);
  if (!decoded.ok) return null;
  const frame = decoded.value.head as ServerFrame;
  if (frame.type === "deliver") {
    const { lease, key, untilMs, runs = [] } = frame;
    return ok({ lease, ...(key && { key }), untilMs, runs, payload: decoded.value.payload });
  }
  if (frame.type === "cancelled") {
    const { reason } = frame;
    if (reason === "queue_deleted") return refuse("queue_not_found", "queue: was deleted during the wait");
    if (reason === "token_revoked") return refuse("unauthenticated", "token: has been revoked");
    return reason === "token_expired" ? refuse("unauthenticated", "token: has expired") : ok(NOTHING);
  }
  return frame.type === "error" ? refuse(frame.code, frame.detail, frame.facts) : null;
}
