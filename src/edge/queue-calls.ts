// What every route of a queue needs: its path parameter, and calls to the object behind it.
import { z } from "@hono/zod-openapi";
import type { Result } from "../protocol/result.ts";
import { namePatterns } from "../routing/grants.ts";
import type { QueueApi, QueuePage } from "../protocol/rpc.ts";
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

/** Only queues over which the caller has some grant. */
export function listQueues(
  context: EdgeContext,
  wanted: QueuePage,
): Promise<Result<{ queues: string[]; after?: string }>> {
  const { namespace, grants } = context.get("claims");
  const patterns = namePatterns(grants, ["publish", "consume", "manage"], context.env.now());
  return call(context, { method: "listQueues", repeatable: true }, () =>
    context.env.namespace(namespace).listQueues({ ...wanted, patterns }),
  );
}

/** The queue that the path names; `needs` has checked it. */
export function pathQueue(context: EdgeContext): string {
  return context.req.param("queue") ?? "";
}
