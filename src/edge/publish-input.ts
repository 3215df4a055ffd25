// What a publisher sends, as records or as a batch: a raw body with its metadata in headers, JSON, or the broker's own
// format. Where it goes, a queue or an exchange, is known elsewhere.
import { z } from "zod";
import type { HeaderValue, MessageRecord } from "../protocol/batch.ts";
import { LIMITS } from "../protocol/limits.ts";

import { refuse, type Result } from "../protocol/result.ts";
import type { Present } from "../protocol/schemas.ts";
import type { PublishHeaders } from "./parameters.ts";
import { readBounded } from "./request-body.ts";

export const BATCH_TYPE = "application/vnd.millrace.batch";
export const HEADER_PREFIX = "millrace-header-";

export const bytesSchema = z.string().meta({ format: "binary" });

export type Headings = Present<z.output<typeof PublishHeaders>>;

/** The message's fields that the headers tell. */
export function recordFields(headings: Headings, headers: Headers): Omit<MessageRecord, "body"> {
  const own = messageHeaders(headers);
  const fields = {
    routingKey: headings["Millrace-Routing-Key"],
    orderingKey: headings["Millrace-Ordering-Key"],
    priority: headings["Millrace-Priority"],
    delayMs: headings["Millrace-Delay-Ms"],
    ttlMs: headings["Millrace-Ttl-Ms"],
    dedupId: headings["Millrace-Dedup-Id"],
    cancelKey: headings["Millrace-Cancel-Key"],
    correlationId: headings["Millrace-Correlation-Id"],
    replyTo: headings["Millrace-Reply-To"],
    contentType: headings["Content-Type"],
    headers: Object.keys(own).length === 0 ? undefined : own,
  };
  const set = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set);
}

/** The message's own headers, without their prefix. */
export function messageHeaders(headers: Headers): Record<string, HeaderValue> {
  return Object.fromEntries(
    [...headers]
      .filter(([name]) => name.startsWith(HEADER_PREFIX))
      .map(([name, value]) => [name.slice(HEADER_PREFIX.length), value]),
  );
}

/** A batch in the broker's own format, not yet scanned. */
export function readBatch(request: Request): Promise<Result<Uint8Array>> {
  return readBounded(request, LIMITS.batchBytesMax, () =>
    refuse("batch_too_large", `body: is over ${LIMITS.batchBytesMax} bytes`, {
      bytesMax: LIMITS.batchBytesMax,
    }),
  );
}
