import { describe, expect, it } from "vitest";
import { createHmac } from "node:crypto";
import { sign } from "hono/jwt";
import { Identity, signToken } from "../../../src/edge/identity.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { ok, refuse } from "../../../src/protocol/result.ts";
import type { Claims, Grant } from "../../../src/protocol/rpc.ts";
import { FakeBroker, problemOf, type FakeOptions } from "../../support/fake-broker.ts";

const SECRET = "a secret that is long enough for HS256";
const manageAll: Grant = { verb: "manage", pattern: "#" };

function claims(changes: Partial<Claims> = {}): Claims {
  return {
    namespace: "acme",
    subject: "worker-1",
    expiresMs: Date.now() + 60_000,
    grants: [manageAll],
    ...changes,
  };
}

const paused = { pause: async () => ok({ paused: true }) };

async function pause(broker: FakeBroker, token: string | null, queue = "orders"): Promise<Response> {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  return broker.request("POST", `/v1/queues/${queue}/pause`, { headers });
}

function closed(options: FakeOptions = {}): FakeBroker {
  return new FakeBroker({ secret: SECRET, queue: paused, ...options });
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("with a secret", () => {
  it("takes a token, and its namespace and no other", async () => {
    const broker = closed();
    const token = await signToken(claims(), SECRET);
    const headers = { Authorization: `Bearer ${token}`, "Millrace-Namespace": "other" };
    const response = await broker.request("POST", "/v1/queues/orders/pause", { headers });
    expect(response.status).toBe(200);
    expect(broker.calls).toMatchObject([{ object: "acme/orders", method: "pause", input: [true] }]);
  });

  const now = Date.now();
  const seconds = Math.floor(now / 1_000);
  const good = { ns: "acme", sub: "w", exp: seconds + 60, grants: [manageAll] };
  it.each([
    ["no token", async () => null, "Authorization"],
    ["a wrong signature", () => signToken(claims(), `${SECRET}!`), "signature"],
    ["an expired token", () => signToken(claims({ expiresMs: now - 1_000 }), SECRET), "has expired"],
    [
      "a token that is not valid yet",
      () => sign({ ...good, nbf: seconds + 120 }, SECRET, "HS256"),
      "nbf: is not valid yet",
    ],
    [
      "a token that was issued in the future",
      () => sign({ ...good, iat: seconds + 120 }, SECRET, "HS256"),
      "token: iat: issued in the future",
    ],
    ["a time that is none", () => sign({ ...good, iat: "now" as unknown as number }, SECRET, "HS256"), "iat"],
    ["no token at all in the header", async () => "a.b", "can't be read"],
    ["another algorithm", () => sign(good, SECRET, "HS512"), "algorithm"],
    ["no expiry", () => sign({ ns: "acme", sub: "w", grants: [] }, SECRET, "HS256"), "exp: is missing"],
    [
      "an expiry over a year ahead",
      () => sign({ ...good, exp: seconds + 400 * 86_400 }, SECRET, "HS256"),
      "exp",
    ],
    ["no namespace", () => sign({ ...good, ns: undefined }, SECRET, "HS256"), "ns: is missing"],
    ["a namespace that is two", () => sign({ ...good, ns: "acme/orders" }, SECRET, "HS256"), "ns"],
    [
      "a verb that is none",
      () => sign({ ...good, grants: [{ verb: "all", pattern: "#" }] }, SECRET, "HS256"),
      "grants[0].verb",
    ],
    [
      "a pattern that is none",
      () => sign({ ...good, grants: [{ verb: "publish", pattern: "#.#.#" }] }, SECRET, "HS256"),
      'grants[0].pattern: must have at most 2 words "#"',
    ],
    [
      "an empty pattern",
      () => sign({ ...good, grants: [{ verb: "publish", pattern: "" }] }, SECRET, "HS256"),
      "grants[0].pattern: must not be empty",
    ],
    [
      "a pattern over the limit",
      () => sign({ ...good, grants: [{ verb: "publish", pattern: "é".repeat(128) }] }, SECRET, "HS256"),
      "grants[0].pattern: must be at most 255 bytes",
    ],
    [
      "a grant with a restriction that it does not know",
      () => sign({ ...good, grants: [{ ...manageAll, expires: 1 }] }, SECRET, "HS256"),
      "grants[0].expires",
    ],
    [
      "a rate of nothing",
      () => sign({ ...good, grants: [{ ...manageAll, ratePerSecond: 0 }] }, SECRET, "HS256"),
      "grants[0].ratePerSecond",
    ],
    [
      "a token over the limit",
      () => sign({ ...good, sub: "s".repeat(LIMITS.tokenBytesMax) }, SECRET, "HS256"),
      "bytes",
    ],
  ])("refuses %s", async (_name, make, says) => {
    const broker = closed();
    const response = await pause(broker, await make());
    expect(await problemOf(response)).toMatchObject({ status: 401, code: "unauthenticated" });
    expect(response.headers.get("WWW-Authenticate")).toContain("Bearer");
    expect((await problemOf(await pause(broker, await make()))).detail).toContain(says);
    expect(broker.calls).toEqual([]);
  });

  it("refuses what an unsigned token says", async () => {
    const broker = closed();
    const token = `${part({ alg: "none", typ: "JWT" })}.${part(good)}.`;
    expect((await pause(broker, token)).status).toBe(401);
  });

  it("refuses a token without the grant, by queue and by verb", async () => {
    const grants: Grant[] = [
      { verb: "manage", pattern: "orders.#" },
      { verb: "publish", pattern: "#" },
    ];
    const broker = closed();
    const token = await signToken(claims({ grants }), SECRET);
    expect((await pause(broker, token, "orders.eu")).status).toBe(200);
    const response = await pause(broker, token, "mail");
    expect(response.headers.get("WWW-Authenticate")).toContain("insufficient_scope");
    expect(await problemOf(response)).toMatchObject({
      status: 403,
      code: "forbidden",
      detail: 'token: has no grant to manage "mail"',
    });
  });

  it("takes a token of an issuer whose clock is ahead by up to a minute", async () => {
    const nowMs = 1_800_000_000_000;
    const identity = new Identity({ secret: SECRET });
    const issued = { ...good, exp: 1_800_000_600 };
    for (const name of ["iat", "nbf"]) {
      const [within, beyond] = await Promise.all(
        [1_800_000_060, 1_800_000_061].map(async (at) =>
          identity.verify(await sign({ ...issued, [name]: at }, SECRET, "HS256"), nowMs),
        ),
      );
      expect(within, name).toMatchObject({ ok: true });
      expect(beyond, name).toMatchObject({ ok: false, code: "unauthenticated" });
    }
  });

  it("takes a token until its end, and not a moment longer", async () => {
    const identity = new Identity({ secret: SECRET });
    const token = await sign({ ...good, exp: 1_800_000_000 }, SECRET, "HS256");
    expect(await identity.verify(token, 1_799_999_999_999)).toMatchObject({ ok: true });
    expect(await identity.verify(token, 1_800_000_000_000)).toMatchObject({ ok: false });
  });

  it("takes a grant until its own end", async () => {
    let nowMs = Date.now();
    const broker = closed({ nowMs: () => nowMs });
    const grants = [{ ...manageAll, expiresMs: nowMs + 30_000 }];
    const token = await signToken(claims({ grants }), SECRET);
    expect((await pause(broker, token)).status).toBe(200);
    nowMs += 30_000;
    expect((await pause(broker, token)).status).toBe(403);
  });

  it("takes no grant over an exchange's topics for one over queues", async () => {
    const token = await signToken(claims({ grants: [{ ...manageAll, exchange: "orders" }] }), SECRET);
    expect((await pause(closed(), token)).status).toBe(403);
  });

  it("reads what signToken wrote", async () => {
    const grants: Grant[] = [
      { verb: "subscribe", pattern: "Größe/a b.#", exchange: "events", ratePerSecond: 0.5, expiresMs: 9_000 },
      manageAll,
    ];
    const verified = await new Identity({ secret: SECRET }).verify(
      await signToken(claims({ grants }), SECRET),
      Date.now(),
    );
    expect(verified).toMatchObject({ ok: true, value: { namespace: "acme", grants } });
  });

  it("asks for the whole namespace where the whole namespace is concerned", async () => {
    const broker = closed();
    const some = await signToken(claims({ grants: [{ verb: "manage", pattern: "orders.#" }] }), SECRET);
    const response = await broker.request("GET", "/v1/namespace", {
      headers: { Authorization: `Bearer ${some}` },
    });
    expect(await problemOf(response)).toMatchObject({ code: "forbidden" });
  });

  it("asks for the list of revoked tokens again after the lag, not before", async () => {
    let nowMs = Date.now();
    let revoked: string[] = [];
    const broker = closed({ nowMs: () => nowMs, namespace: { revokedTokens: async () => ok(revoked) } });
    const token = await signToken(claims({ jti: "t1", expiresMs: nowMs + 3_600_000 }), SECRET);
    expect((await pause(broker, token)).status).toBe(200);
    revoked = ["t1"];
    nowMs += LIMITS.revocationLagMs - 1;
    expect((await pause(broker, token)).status).toBe(200);
    nowMs += 1;
    expect(await problemOf(await pause(broker, token))).toMatchObject({
      code: "unauthenticated",
      detail: "token: has been revoked",
    });
    expect(broker.inputs("revokedTokens")).toHaveLength(2);
  });

  it("takes no token with an id while the list can't be had", async () => {
    const broker = closed({
      namespace: { revokedTokens: async () => refuse("unavailable", "list: is away") },
    });
    expect((await pause(broker, await signToken(claims({ jti: "t1" }), SECRET))).status).toBe(503);
  });

  it("refuses everything when the secret is too short to be one", async () => {
    const broker = closed({ secret: "short" });
    const response = await pause(broker, await signToken(claims(), "short"));
    expect(await problemOf(response)).toMatchObject({ code: "unauthenticated" });
  });

  it.each([
    ["one letter", "a".repeat(32), "it has 1 different bytes"],
    ["a short word over and over", "secret".repeat(8), "it has 5 different bytes"],
  ])("refuses everything when the secret is %s, and says how to make one", async (_what, secret, says) => {
    const problem = await problemOf(await pause(closed({ secret }), await signToken(claims(), secret)));
    expect(problem).toMatchObject({ code: "unauthenticated" });
    expect(problem.detail).toContain(says);
    expect(problem.detail).toContain("openssl rand -hex 32");
  });

  it.each(["PUBLIC", "PRIVATE"])("takes a secret for what it is, with %s in it too", async (word) => {
    const secret = `${word}-3f9a1c7e5b2d8640${word}-3f9a1c7e5b2d8640`;
    expect((await pause(closed({ secret }), await signToken(claims(), secret))).status).toBe(200);
    // As every other JWT library signs it.
    const [head = "", body = "", mac = ""] = (await signToken(claims(), secret)).split(".");
    const expected = createHmac("sha256", secret).update(`${head}.${body}`).digest("base64url");
    expect(mac).toBe(expected);
  });

  it("serves health without a token", async () => {
    expect((await closed().request("GET", "/health")).status).toBe(200);
  });
});

describe("with a public key", () => {
  it("takes EdDSA tokens, and no HS256 token made from the key's text", async () => {
    const pair = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
    const publicKey = JSON.stringify(await crypto.subtle.exportKey("jwk", pair.publicKey));
    const { ns, sub, exp, grants } = {
      ns: "acme",
      sub: "w",
      exp: Math.floor(Date.now() / 1_000) + 60,
      grants: [manageAll],
    };
    const broker = new FakeBroker({ publicKey, queue: paused });
    expect((await pause(broker, await sign({ ns, sub, exp, grants }, pair.privateKey, "EdDSA"))).status).toBe(
      200,
    );
    expect((await pause(broker, await sign({ ns, sub, exp, grants }, publicKey, "HS256"))).status).toBe(401);
  });

  it("refuses everything when the key is none", async () => {
    expect((await pause(new FakeBroker({ publicKey: "{}" }), null)).status).toBe(401);
    expect((await pause(new FakeBroker({ publicKey: "PEM" }), "a.b.c")).status).toBe(401);
  });
});

const open = (
  headers: Record<string, string>,
  origin?: string,
  method = "POST",
  path = "/v1/queues/orders/pause",
) => new FakeBroker({ queue: paused }).request(method, path, { headers }, origin);

describe("without a key", () => {
  it.each(["http://localhost:8787", "http://127.0.0.1:8787", "http://127.8.9.1", "http://[::1]:8787"])(
    "serves %s",
    async (origin) => {
      expect((await open({}, origin)).status).toBe(200);
      expect(
        (await open({ "CF-Connecting-IP": "::1", Origin: "http://localhost:3000" }, origin)).status,
      ).toBe(200);
    },
  );

  it.each([
    ["a name on the internet", {}, "https://broker.example.com"],
    ["a name that only looks like loopback", {}, "http://127.0.0.1.example.com"],
    ["a caller from elsewhere", { "CF-Connecting-IP": "203.0.113.7" }, "http://localhost:8787"],
  ])("refuses %s, and says what to set", async (_name, headers, origin) => {
    const problem = await problemOf(await open(headers, origin));
    expect(problem).toMatchObject({ status: 401, code: "unauthenticated" });
    expect(problem.detail).toContain("MILLRACE_SECRET");
  });

  it.each(["https://evil.example", "null", "http://localhost.evil.example"])(
    "lets no page of %s change anything",
    async (origin) => {
      expect(await problemOf(await open({ Origin: origin }))).toMatchObject({
        status: 403,
        code: "forbidden",
      });
      const socket = await open(
        { Origin: origin, Upgrade: "websocket" },
        undefined,
        "GET",
        "/v1/queues/orders/socket",
      );
      expect(await problemOf(socket)).toMatchObject({ code: "forbidden" });
      const read = await open({ Origin: origin }, undefined, "GET", "/v1/queues/orders");
      expect(await problemOf(read)).toMatchObject({ code: "forbidden" });
      expect(read.headers.get("Access-Control-Allow-Origin")).toBe(null);
    },
  );

  it("lets a header choose the namespace, and checks it", async () => {
    const broker = new FakeBroker({ queue: paused });
    await broker.request("POST", "/v1/queues/orders/pause");
    await broker.request("POST", "/v1/queues/orders/pause", { headers: { "Millrace-Namespace": "acme" } });
    expect(broker.calls.map((call) => call.object)).toEqual(["default/orders", "acme/orders"]);
    const bad = await broker.request("POST", "/v1/queues/orders/pause", {
      headers: { "Millrace-Namespace": "a/b" },
    });
    expect(await problemOf(bad)).toMatchObject({ code: "bad_name" });
  });

  it("says once that it is open", async () => {
    const broker = new FakeBroker({ queue: paused });
    await broker.request("POST", "/v1/queues/orders/pause");
    await broker.request("POST", "/v1/queues/orders/pause");
    expect(broker.logged.filter(({ event }) => event === "open_mode")).toHaveLength(1);
  });
});
