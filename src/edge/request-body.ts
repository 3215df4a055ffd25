// Bytes in. Nothing is read beyond its limit, whatever Content-Length says.
import { LIMITS } from "../protocol/limits.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import { isUtf8 } from "../protocol/utf8.ts";
import { problem } from "./refuse.ts";
import type { EdgeMiddleware } from "./services.ts";

/**
 * Reads the body whole. `tooLarge` makes the refusal for one of more than `bytesMax`; the rest of it is not read.
 */
export async function readBounded(
  request: Request,
  bytesMax: number,
  tooLarge: () => Refusal,
): Promise<Result<Uint8Array>> {
  const declared = Number(request.headers.get("Content-Length") ?? 0);
  if (declared > bytesMax) return tooLarge();
  if (request.body === null) return ok(new Uint8Array(0));
  try {
    return await readChunks(request.body.getReader(), bytesMax, tooLarge);
  } catch {
    // The client went away in the middle; there is nobody to tell, and nothing of ours has failed.
    return refuse("bad_request", "body: ended before its end");
  }
}

async function readChunks(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  bytesMax: number,
  tooLarge: () => Refusal,
): Promise<Result<Uint8Array>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return ok(joinChunks(chunks, size));
    size += value.length;
    if (size > bytesMax) {
      await reader.cancel();
      return tooLarge();
    }
    chunks.push(value);
  }
}

function joinChunks(chunks: readonly Uint8Array[], size: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** Whether the request's content type is this one, parameters aside. */
export function isMediaType(request: Request, mediaType: string): boolean {
  return request.headers.get("Content-Type")?.split(";")[0]?.trim().toLowerCase() === mediaType;
}

/**
 * Bounds a JSON request before its schema reads it. No body at all counts as `{}`, so that what is missing is named
 * field by field, and a command without required fields needs no body. `other` is a content type that the route reads
 * by itself.
 */
export function jsonBody(other?: string): EdgeMiddleware {
  return async (context, next) => {
    const { raw } = context.req;
    if (other !== undefined && isMediaType(raw, other)) return next();
    const bytes = await readBounded(raw, LIMITS.jsonBytesMax, () =>
      refuse("batch_too_large", `body: is over ${LIMITS.jsonBytesMax} bytes of JSON`, {
        bytesMax: LIMITS.jsonBytesMax,
      }),
    );
    const body = bytes.ok ? jsonOf(raw, bytes.value, other) : bytes;
    if (!body.ok) return problem(context, body);
    const headers = new Headers(raw.headers);
    headers.set("Content-Type", "application/json");
    headers.delete("Content-Length");
    context.req.raw = new Request(raw.url, {
      method: raw.method,
      headers,
      body: body.value,
      signal: raw.signal,
    });
    return next();
  };
}

function jsonOf(request: Request, bytes: Uint8Array, other: string | undefined): Result<string | Uint8Array> {
  if (bytes.length === 0) return ok("{}");
  if (!isMediaType(request, "application/json")) {
    const types = `application/json${other === undefined ? "" : ` or ${other}`}`;
    return refuse("unsupported_media_type", `Content-Type: must be ${types}`);
  }
  // The platform would patch bad bytes with U+FFFD; what was sent must be what is stored.
  return isUtf8(bytes, 0, bytes.length) ? ok(bytes) : refuse("bad_request", "body: is not UTF-8");
}
