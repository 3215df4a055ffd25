// What a publish over HTTP may name in replyTo.
import { replyQueuesOf } from "../protocol/reply-queues.ts";
import type { Refusal } from "../protocol/result.ts";
import { lacksReplyTo } from "../routing/grants.ts";
import type { EdgeContext } from "./services.ts";

export function lacksReplyTargets(context: EdgeContext, batch: Uint8Array): Refusal | null {
  const queues = replyQueuesOf(context.env.codec, batch);
  return lacksReplyTo(context.get("claims"), queues, context.env.now());
}
