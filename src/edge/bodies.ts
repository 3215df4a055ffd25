// Bodies over the inline limit: they lie in a bucket, and the message carries a reference (PROTOCOL §5.9). Whoever
// settles the message for good deletes the body; that is the queue's object, not the edge.
import { createRoute, z } from "@hono/zod-openapi";
import { LIMITS } from "../protocol/limits.ts";
import { bodyKey, bodyToJson } from "../protocol/message-json.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { PROBLEMS } from "./answers.ts";
import { needs } from "./auth.ts";
import { problem } from "./refuse.ts";
import { QueueParam } from "./queue-calls.ts";
import type { BodyStore, EdgeApp, EdgeContext } from "./services.ts";

export function bodyTooLarge(bytesMax: number): Refusal {
  return refuse("body_too_large", `body: is over ${bytesMax} bytes`, { bytesMax });
}

/**
 * Puts the request's body into the bucket, as it streams in. The size must be declared: the bucket wants to know it,
 * and it is the one thing that can be checked before the first byte.
 */
export async function storeBody(
  context: EdgeContext,
  store: BodyStore,
  queue: string,
): Promise<Result<{ key: string; bytes: number }>> {
  const bytes = Number(context.req.header("Content-Length"));
  if (bytes > LIMITS.referencedBodyBytesMax) return bodyTooLarge(LIMITS.referencedBodyBytesMax);
  const key = `${context.get("claims").namespace}/${queue}/${crypto.randomUUID()}`;
  const body = context.req.raw.body;
  if (body === null) return refuse("bad_request", "body: is missing");
  try {
    await store.put(key, body);
  } catch (error) {
    context.env.log("error", "body_put_failed", { key, bytes, error: String(error) });
    return refuse("unavailable", "body: could not be stored");
  }
  return ok({ key, bytes });
}

/** After a refused publish nothing refers to the body. A failure costs storage, not correctness. */
export async function discardBody(context: EdgeContext, store: BodyStore, key: string): Promise<void> {
  try {
    await store.delete(key);
  } catch (error) {
    context.env.log("error", "body_delete_failed", { key, error: String(error) });
  }
}

interface Referring {
  readonly bodyReference?: string;
}

/**
 * Gives referenced bodies inline, as if they had been small, while they fit an answer's budget. Those that don't, or
 * that are gone, stay references for the client to fetch.
 */
export async function inlineBodies<T extends Referring>(
  context: EdgeContext,
  messages: readonly T[],
): Promise<T[]> {
  const out: T[] = [];
  let budget: number = LIMITS.inlinedBytesMax;
  for (const message of messages) {
    const body =
      message.bodyReference === undefined ? null : await fetchInline(context, message.bodyReference, budget);
    if (body === null) {
      out.push(message);
      continue;
    }
    budget -= body.length;
    const { bodyReference: _inlined, ...rest } = message;
    out.push({ ...rest, ...bodyToJson(body) } as unknown as T);
  }
  return out;
}

/** A body from the bucket; null when there is none, or it is over the budget. */
export async function fetchInline(
  context: EdgeContext,
  reference: string,
  budget: number,
): Promise<Uint8Array | null> {
  const store = context.env.bodies;
  const key = bodyKey(context.get("claims").namespace, reference);
  if (store === null || key === null) return null;
  try {
    const stored = await store.get(key);
    if (stored === null) return null;
    if (stored.size <= budget) return new Uint8Array(await stored.arrayBuffer());
    await stored.body.cancel();
  } catch (error) {
    // The message itself is leased by now; its reference is still of use.
    context.env.log("error", "body_get_failed", { key, error: String(error) });
  }
  return null;
}

export function addBodyRoutes(app: EdgeApp): void {
  const route = createRoute({
    method: "get",
    path: "/v1/queues/{queue}/bodies/{reference}",
    tags: ["Consuming"],
    summary: "Fetch a large body",
    description:
      "The body that a message's `bodyReference` names. It is there until the message is settled. Grant: consume.",
    middleware: [needs("consume")],
    request: { params: QueueParam.extend({ reference: z.string() }) },
    responses: {
      200: { description: "The bytes.", content: { "application/octet-stream": { schema: z.string() } } },
      ...PROBLEMS,
    },
  });
  app.openapi(route, async (context): Promise<Response> => {
    const key = bodyKey(context.get("claims").namespace, context.req.valid("param").reference);
    const stored = key === null ? null : await context.env.bodies?.get(key);
    if (!stored) return problem(context, refuse("message_not_found", "reference: names no body"));
    const headers = {
      "Content-Type": "application/octet-stream",
      "Content-Length": String(stored.size),
      "Content-Disposition": "attachment",
    };
    return new Response(stored.body, { headers });
  });
}
