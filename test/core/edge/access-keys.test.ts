// Access keys: tokens that sign requests and open nothing by themselves (PROTOCOL §8.6).
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sign } from "hono/jwt";
import { describe, expect, it } from "vitest";
import { Identity, signAccessKey, signToken } from "../../../src/edge/identity.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { ok } from "../../../src/protocol/result.ts";
import type { Claims } from "../../../src/protocol/rpc.ts";
import { FakeBroker, problemOf } from "../../support/fake-broker.ts";

const SECRET = "a secret that is long enough for HS256";
const identity = new Identity({ secret: SECRET });
const nowMs = Date.now();
const seconds = Math.floor(nowMs / 1_000);
const claims: Claims = {
  namespace: "acme",
  subject: "worker-1",
  jti: "k1",
  expiresMs: (seconds + 60) * 1_000,
  grants: [{ verb: "consume", pattern: "orders.#" }],
};
const payload = { ns: "acme", sub: "w", exp: seconds + 60, grants: [], use: "sigv4" };

function derived(secret: string, accessKeyId: string): string {
  return createHmac("sha256", secret).update(`millrace sigv4:${accessKeyId}`).digest("base64url");
}

async function keyPair() {
  const pair = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
  return {
    privateKey: pair.privateKey,
    publicKey: JSON.stringify(await crypto.subtle.exportKey("jwk", pair.publicKey)),
  };
}

describe("an access key", () => {
  it("tells its claims, its jti among them, and the secret that signs", async () => {
    const key = await signAccessKey(claims, SECRET);
    expect(await identity.verifyAccessKey(key.accessKeyId, nowMs)).toEqual(
      ok({ claims, secretAccessKey: key.secretAccessKey }),
    );
  });

  it("has the secret that the document tells how to derive", async () => {
    const { accessKeyId, secretAccessKey } = await signAccessKey(claims, SECRET);
    expect(secretAccessKey).toBe(derived(SECRET, accessKeyId));
  });

  it("is derived in the document's example as in the code", () => {
    const text = readFileSync(join(import.meta.dirname, "../../../src/protocol/PROTOCOL.md"), "utf8");
    const example = /^`MILLRACE_SECRET` of `(\w+)` and the id `([\w.]+)` it is\n`([\w-]{43})`/m.exec(text);
    const [, secret, id, secretAccessKey] = example!;
    expect(derived(secret!, id!)).toBe(secretAccessKey);
  });

  it("has a secret that neither the token nor another key has", async () => {
    const key = await signAccessKey(claims, SECRET);
    const other = await signAccessKey({ ...claims, jti: "k2" }, SECRET);
    expect(other.secretAccessKey).not.toBe(key.secretAccessKey);
    expect(key.accessKeyId.split(".")).not.toContain(key.secretAccessKey);
  });

  it("opens nothing as a bearer token", async () => {
    const broker = new FakeBroker({ secret: SECRET, queue: { pause: async () => ok({ paused: true }) } });
    const grants: Claims["grants"] = [{ verb: "manage", pattern: "#" }];
    const { accessKeyId } = await signAccessKey({ ...claims, grants }, SECRET);
    const headers = { Authorization: `Bearer ${accessKeyId}` };
    const response = await broker.request("POST", "/v1/queues/orders/pause", { headers });
    expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthenticated" });
    expect(broker.calls).toEqual([]);
  });

  it.each([
    ["a token for bearers", () => signToken(claims, SECRET), "token for bearers"],
    [
      "a token with another use",
      () => sign({ ...payload, use: ["sigv4"] }, SECRET, "HS256"),
      "token for bearers",
    ],
    [
      "one that has expired",
      async () => (await signAccessKey({ ...claims, expiresMs: nowMs - 1_000 }, SECRET)).accessKeyId,
      "has expired",
    ],
    [
      "one of another secret",
      async () => (await signAccessKey(claims, `${SECRET}!`)).accessKeyId,
      "signature",
    ],
    [
      "one over the limit",
      () => sign({ ...payload, sub: "s".repeat(LIMITS.tokenBytesMax) }, SECRET, "HS256"),
      "bytes",
    ],
    ["one of AWS", async () => "AKIAIOSFODNN7EXAMPLE", "can't be read"],
  ])("is refused: %s", async (_name, make, says) => {
    const verified = await identity.verifyAccessKey(await make(), nowMs);
    expect(verified).toMatchObject({ ok: false, code: "unauthenticated" });
    expect(verified).toHaveProperty("detail", expect.stringContaining(says));
  });

  it("leaves a use of an issuer's own to the issuer", async () => {
    const token = await sign({ ...payload, use: "sig" }, SECRET, "HS256");
    expect(await identity.verify(token, nowMs)).toMatchObject({ ok: true });
  });
});

describe("with a public key", () => {
  it("there are no access keys, and the refusal says why", async () => {
    const { publicKey, privateKey } = await keyPair();
    const accessKeyId = await sign(payload, privateKey, "EdDSA");
    const alone = await new Identity({ publicKey }).verifyAccessKey(accessKeyId, nowMs);
    expect(alone).toHaveProperty("detail", expect.stringContaining("MILLRACE_SECRET"));
    // Its secret half could be derived here, by nobody who may make it.
    const both = new Identity({ publicKey, secret: SECRET });
    expect(await both.verifyAccessKey(accessKeyId, nowMs)).toMatchObject({ ok: false });
    expect(await both.verify(accessKeyId, nowMs)).toMatchObject({ ok: false });
  });

  it("refuses everything when the secret is too short to be one", async () => {
    const { accessKeyId } = await signAccessKey(claims, "short");
    expect(await new Identity({ secret: "short" }).verifyAccessKey(accessKeyId, nowMs)).toMatchObject({
      ok: false,
    });
  });
});
