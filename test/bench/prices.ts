/**
 * List prices in US dollars, beyond what a plan includes, as they were published in November 2026:
 *   Durable Objects   developers.cloudflare.com/durable-objects/platform/pricing
 *   Workers           developers.cloudflare.com/workers/platform/pricing
 *   Queues            developers.cloudflare.com/queues/platform/pricing: write, read and delete, $0.40 per million each
 *   SQS, standard     aws.amazon.com/sqs/pricing: send, receive and delete, $0.40 per million requests each
 */
import { objectRequests, type Counters } from "./counters.ts";

export const PRICES = {
  /** Dollars per million. Rows of indexes, deletes and alarms count as written. */
  rowsWritten: 1.0,
  rowsRead: 0.001,
  objectRequests: 0.15,
  workerRequests: 0.3,
  workerCpuMs: 0.02,
  /** $12.50 per million GB-s; an object is billed as 128 MB while it is at work. */
  objectActiveMs: (12.5 * 0.128) / 1_000,
} as const;

/** Dollars per million messages up to 64 KB: written, read once, deleted. */
export const PEERS = {
  "Cloudflare Queues": 1.2,
  "SQS, singly": 1.2,
  "SQS, by tens": 0.12,
} as const;

export interface Bill {
  readonly rows: number;
  readonly requests: number;
  readonly compute: number;
  readonly total: number;
}

/**
 * Dollars per million of what `counts` holds `units` of. What is not known of CPU is taken for the worst: all that the
 * local process used counts as the Worker's, though objects are billed by the time they are at work, which is added.
 */
export function billPerMillion(counts: Counters, cpuMs: number, units: number): Bill {
  const rows = (counts.rowsWritten * PRICES.rowsWritten + counts.rowsRead * PRICES.rowsRead) / units;
  const worker = counts.workerRequests * PRICES.workerRequests;
  const requests = (objectRequests(counts) * PRICES.objectRequests + worker) / units;
  const compute = (cpuMs * PRICES.workerCpuMs + counts.activeMs * PRICES.objectActiveMs) / units;
  return { rows, requests, compute, total: rows + requests + compute };
}
