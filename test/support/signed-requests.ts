// Requests as AWS's own signer makes them, and what the gateway says of them.
import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import { credentialOf, verifySignature, type SignedAs } from "../../src/gateways/sqs/signature.ts";

export type HttpRequest = Parameters<SignatureV4["presign"]>[0];

export const NOW_MS = Date.parse("2026-03-01T12:00:00Z");
export const SKEW_MS = 15 * 60_000;
export const HOST = "broker.example.com:8787";
export const CREDENTIALS = { accessKeyId: "e30.e30.AAAA", secretAccessKey: "not/a+secret" };
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A request as it is on the wire. */
export interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export function requestOf({ method, url, headers }: Sent): Request {
  return new Request(url, { method, headers });
}

/** "valid", "unsigned", or the name of the error. */
export async function ask(sent: Sent, nowMs = NOW_MS, secret = CREDENTIALS.secretAccessKey): Promise<string> {
  const request = requestOf(sent);
  const signed = credentialOf(request);
  if (!signed.ok) return signed.error;
  if (signed.value === null) return "unsigned";
  const refused = await verifySignature(request, sent.body, signed.value, secret, nowMs);
  return refused === null ? "valid" : refused.error;
}

/** SHA-256 and its HMAC in the form that the signer takes. */
export class NodeHash {
  private readonly hash;
  constructor(secret?: ArrayBuffer | ArrayBufferView | string) {
    this.hash = secret === undefined ? createHash("sha256") : createHmac("sha256", secret as Uint8Array);
  }
  update(data: Uint8Array | string): void {
    this.hash.update(data);
  }
  async digest(): Promise<Uint8Array> {
    return this.hash.digest();
  }
  reset(): void {}
}

export function signer(): SignatureV4 {
  return new SignatureV4({ service: "sqs", region: "eu-west-1", credentials: CREDENTIALS, sha256: NodeHash });
}

export interface Unsigned {
  readonly method?: string;
  readonly path?: string;
  readonly query?: Readonly<Record<string, string | string[]>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export function httpRequest(unsigned: Unsigned): HttpRequest {
  const {
    method = "POST",
    path = "/",
    query = {},
    headers = {},
    body = utf8('{"QueueName":"orders"}'),
  } = unsigned;
  const [hostname, port] = HOST.split(":");
  return {
    method,
    protocol: "http:",
    hostname: hostname!,
    port: Number(port),
    path,
    query: { ...query },
    headers: { host: HOST, ...headers },
    body,
  };
}

export function sentOf({ method, path, query = {}, headers, body }: HttpRequest): Sent {
  const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const search = pairs.map((pair) => pair.map((text) => encodeURIComponent(text ?? "")).join("=")).join("&");
  return { method, url: `http://${HOST}${path}?${search}`, headers, body: body as Uint8Array };
}

export async function signed(unsigned: Unsigned = {}): Promise<Sent> {
  return sentOf(await signer().sign(httpRequest(unsigned), { signingDate: new Date(NOW_MS) }));
}

export async function presigned(unsigned: Unsigned = {}, expiresIn = 60): Promise<Sent> {
  const request = httpRequest({ method: "GET", body: new Uint8Array(0), ...unsigned });
  return sentOf(await signer().presign(request, { signingDate: new Date(NOW_MS), expiresIn }));
}

/** What a request says of its signature, where it says something. */
export function claimOf(request: Request): SignedAs {
  const claim = credentialOf(request);
  if (!claim.ok) throw new Error(claim.message);
  if (claim.value === null) throw new Error("is not signed");
  return claim.value;
}

export function withHeader(name: string, change: (value: string) => string) {
  return (sent: Sent): Sent => ({
    ...sent,
    headers: { ...sent.headers, [name]: change(sent.headers[name] ?? "") },
  });
}

export function inAuthorization(from: string | RegExp, to: string) {
  return withHeader("authorization", (value) => value.replace(from, to));
}

export function withUrl(change: (url: URL) => void) {
  return (sent: Sent): Sent => {
    const url = new URL(sent.url);
    change(url);
    return { ...sent, url: url.href };
  };
}
