// What every route of a queue needs: its path parameter, and calls to the object behind it.
import { z } from "@hono/zod-openapi";
import type { Result } from "../protocol/result.ts";
import type { QueueApi } from "../protocol/rpc.ts";
import { Name } from "../protocol/schemas.ts";
import { call } from "./call.ts";
import type { EdgeContext } from "./services.ts";

export const QueueParam = z.object({ queue: Name });

export interface QueueCall<T> {
  /** For the log. */
  readonly method: string;
  /** Whether a second call after a lost answer does no harm. */
  readonly repeatable: boolean;
  /** Default: the queue that the path names. */
  readonly queue?: string;
  readonly run: (queue: QueueApi) => Promise<Result<T>>;
}

/** Calls the object of a queue in the caller's namespace. */
export function callQueue<T>(context: EdgeContext, command: QueueCall<T>): Promise<Result<T>> {
  const queue = command.queue ?? pathQueue(context);
  const { namespace } = context.get("claims");
  return call(context, { method: command.method, repeatable: command.repeatable, queue }, () =>
    command.run(context.env.queue(namespace, queue)),
  );
}

/** The queue that the path names; `needs` has checked it. */
export function pathQueue(context: EdgeContext): string {
  return context.req.param("queue") ?? "";
}
