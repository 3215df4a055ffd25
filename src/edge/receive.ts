// Receiving for a caller without a socket: what is ready, or what comes while it waits.
import type { Delivery, ReceiveCommand } from "../protocol/commands.ts";
import { NAME_PATTERN } from "../protocol/names.ts";
import type { Result } from "../protocol/result.ts";
import { waitForDelivery } from "./long-poll.ts";
import { callQueue } from "./queue-calls.ts";
import type { EdgeContext } from "./services.ts";
import { socketClaims } from "./socket.ts";

/** `waitMs`: absent, the queue says how long. `signal`: the caller has gone. */
export async function receive(
  context: EdgeContext,
  queue: string,
  { consumer = consumerOf(context), ...wish }: Omit<ReceiveCommand, "consumer"> & { consumer?: string },
  waitMs: number | undefined,
  signal: AbortSignal,
): Promise<Result<Delivery>> {
  const command: ReceiveCommand = { ...wish, consumer, subject: context.get("claims").subject };
  const taken = await callQueue(context, {
    method: "receive",
    queue,
    // Without an attempt id a second call would lease other messages, and the first ones wait for their lease to end.
    repeatable: command.attemptId !== undefined,
    run: (stub) => stub.receive(command),
  });
  if (!taken.ok || taken.value.lease !== 0) return taken;
  const restMs = waitMs ?? taken.value.waitMs ?? 0;
  if (restMs === 0) return taken;
  return callQueue(context, {
    method: "wait",
    queue,
    repeatable: false,
    run: (stub) =>
      waitForDelivery({
        queue: stub,
        claims: socketClaims(context, queue),
        frame: {
          type: "consume",
          once: true,
          format: "binary",
          credit: command.max,
          consumer,
          ...(command.leaseMs === undefined ? {} : { leaseMs: command.leaseMs }),
          ...(command.attemptId === undefined ? {} : { attemptId: command.attemptId }),
        },
        waitMs: restMs,
        signal,
      }),
  });
}

/** The token's subject names the consumer when the request does not, where it can be a name. */
function consumerOf(context: EdgeContext): string {
  const { subject } = context.get("claims");
  return NAME_PATTERN.test(subject) ? subject : "http";
}
