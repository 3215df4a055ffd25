// Signature Version 4: what AWS's own signer makes is taken, and nothing that differs from it.
import { ListQueuesCommand, SQSClient, SendMessageCommand } from "@aws-sdk/client-sqs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Identity, signAccessKey } from "../../../../src/edge/identity.ts";
import { credentialOf, verifySignature } from "../../../../src/gateways/sqs/signature.ts";
import {
  ask,
  claimOf,
  httpRequest,
  signer,
  CREDENTIALS,
  HOST,
  inAuthorization,
  NOW_MS,
  presigned,
  requestOf,
  sentOf,
  signed,
  SKEW_MS,
  utf8,
  withHeader,
  withUrl,
  type HttpRequest,
  type Sent,
} from "../../../support/signed-requests.ts";

const TARGET = { "content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.CreateQueue" };

describe("a signed request", () => {
  it("says who signed it, where and when", async () => {
    expect(credentialOf(requestOf(await signed({ headers: TARGET })))).toEqual({
      ok: true,
      value: {
        from: "header",
        accessKeyId: CREDENTIALS.accessKeyId,
        date: "20260301",
        region: "eu-west-1",
        service: "sqs",
        terminator: "aws4_request",
        timestamp: "20260301T120000Z",
        expiresSeconds: null,
        signedHeaders: ["content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-target"],
        signature: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
    });
  });

  it("may be unsigned", async () => {
    expect(await ask({ method: "POST", url: `http://${HOST}/?a=b`, headers: {}, body: utf8("") })).toBe(
      "unsigned",
    );
  });

  it("is taken as the SDK sends it, with an access key of the broker's", async () => {
    const secret = "a secret that is long enough for HS256";
    const grants = [{ verb: "manage" as const, pattern: "#" }];
    const claims = { namespace: "acme", subject: "w", expiresMs: Date.now() + 60_000, grants };
    const key = await signAccessKey(claims, secret);
    const sent: Sent[] = [];
    const client = new SQSClient({
      region: "us-east-1",
      endpoint: `http://${HOST}`,
      credentials: key,
      maxAttempts: 1,
      requestHandler: {
        async handle(request: HttpRequest) {
          sent.push(sentOf(request));
          throw new Error("is not sent on");
        },
      },
    });
    const attributes = { a: { DataType: "String", StringValue: "é" } };
    const QueueUrl = `http://${HOST}/123456789012/orders.fifo`;
    const message = { QueueUrl, MessageBody: "hé\n<x>&", MessageAttributes: attributes };
    await expect(client.send(new SendMessageCommand(message))).rejects.toThrow();
    await expect(client.send(new ListQueuesCommand({}))).rejects.toThrow();
    for (const one of sent) {
      const { accessKeyId } = claimOf(requestOf(one));
      const known = await new Identity({ secret }).verifyAccessKey(accessKeyId, Date.now());
      if (!known.ok) throw new Error(known.detail);
      expect(await ask(one, Date.now(), known.value.secretAccessKey)).toBe("valid");
      expect(await ask(one, Date.now(), `${known.value.secretAccessKey}A`)).toBe("SignatureDoesNotMatch");
    }
    expect(sent).toHaveLength(2);
  });

  it("is taken whatever its path, query, headers and body are", async () => {
    const text = fc.oneof(fc.string({ unit: "binary", maxLength: 12 }), fc.constantFrom("!'()*", "a+b"));
    // Dots are resolved before a request is read, so what was signed with them can't be known.
    const segment = fc
      .oneof(text, fc.constantFrom("", "orders.fifo", "a b", "a+b", "%2F"))
      .filter((one) => !/^\.{1,2}$/.test(one));
    const unsigned = fc.record({
      method: fc.constantFrom("GET", "POST"),
      path: fc.array(segment, { maxLength: 4 }).map((all) => `/${all.map(encodeURIComponent).join("/")}`),
      query: fc.dictionary(text, text, { maxKeys: 4, noNullPrototype: true }),
      headers: fc.record({ "my-header": fc.stringMatching(/^[!-~]{0,5} {0,3}[!-~]{1,5}$/) }),
      body: fc.uint8Array({ maxLength: 64 }),
    });
    await fc.assert(
      fc.asyncProperty(unsigned, fc.boolean(), async (parts, isPresigned) => {
        const sent = isPresigned ? await presigned(parts) : await signed(parts);
        expect(await ask(sent)).toBe("valid");
        expect(await ask({ ...sent, body: Uint8Array.of(...sent.body, 0) })).toBe("SignatureDoesNotMatch");
      }),
      { numRuns: 200 },
    );
  });

  it("is taken under the host that the client asked, when a proxy asks another", async () => {
    const sent = await signed();
    expect(await ask({ ...sent, url: "http://127.0.0.1:9000/" })).toBe("valid");
    const { host: _, ...headers } = sent.headers;
    expect(await ask({ ...sent, headers })).toBe("valid");
  });

  it("is taken with the client's Accept-Encoding, where the edge put its own in its place", async () => {
    const sent = await signed({ headers: { "accept-encoding": "identity" } });
    const request = requestOf({ ...sent, headers: { ...sent.headers, "accept-encoding": "gzip, br" } });
    const claim = claimOf(request);
    const { secretAccessKey } = CREDENTIALS;
    const verify = () => verifySignature(request, sent.body, claim, secretAccessKey, NOW_MS);
    expect(await verify()).toMatchObject({ error: "SignatureDoesNotMatch" });
    Object.assign(request, { cf: { clientAcceptEncoding: "identity" } });
    expect(await verify()).toBe(null);
  });
});

const nextDigit = (text: string): string => text.replace(/.$/, (last) => (last === "0" ? "1" : "0"));

describe("what is changed on the way is refused:", () => {
  const changes: [string, (sent: Sent) => Sent][] = [
    ["the method", (sent) => ({ ...sent, method: "PUT" })],
    ["the path", withUrl((url) => (url.pathname = "/1/orderz"))],
    ["a parameter", withUrl((url) => url.searchParams.set("Action", "DeleteQueue"))],
    ["one more parameter", withUrl((url) => url.searchParams.append("Action", "DeleteQueue"))],
    ["one parameter less", withUrl((url) => url.searchParams.delete("Action"))],
    ["the host", withHeader("host", () => "other.example.com")],
    ["the action", withHeader("x-amz-target", () => "AmazonSQS.PurgeQueue")],
    ["the time", withHeader("x-amz-date", () => "20260301T120001Z")],
    ["the hash of the body", withHeader("x-amz-content-sha256", nextDigit)],
    ["a hash that leaves the body unsigned", withHeader("x-amz-content-sha256", () => "UNSIGNED-PAYLOAD")],
    [
      "a byte of the body",
      (sent) => ({ ...sent, body: sent.body.map((byte, i) => (i === 3 ? byte ^ 1 : byte)) }),
    ],
    ["the end of the body", (sent) => ({ ...sent, body: sent.body.subarray(0, -1) })],
    ["the date of the scope", inAuthorization("/20260301/", "/20260302/")],
    ["the region", inAuthorization("/eu-west-1/", "/eu-west-2/")],
    ["the service", inAuthorization("/sqs/", "/sns/")],
    ["the end of the scope", inAuthorization("/aws4_request", "/aws5_request")],
    ["a header's name", inAuthorization("content-type;", "")],
    ["the signature", withHeader("authorization", nextDigit)],
    ["the signature's case", inAuthorization(/[0-9a-f]{64}$/, "A".repeat(64))],
    ["the signature's length", inAuthorization(/[0-9a-f]{2}$/, "")],
  ];
  it.each(changes)("%s", async (_name, change) => {
    const sent = await signed({ path: "/1/orders", query: { Action: "SendMessage" }, headers: TARGET });
    expect(await ask(sent)).toBe("valid");
    expect(await ask(change(sent))).toBe("SignatureDoesNotMatch");
  });

  it("the secret", async () => {
    const secret = nextDigit(CREDENTIALS.secretAccessKey);
    expect(await ask(await signed(), NOW_MS, secret)).toBe("SignatureDoesNotMatch");
  });

  it("a host that was not signed", async () => {
    const options = { signingDate: new Date(NOW_MS), unsignableHeaders: new Set(["host"]) };
    const sent = sentOf(await signer().sign(httpRequest({}), options));
    expect(claimOf(requestOf(sent)).signedHeaders).not.toContain("host");
    expect(await ask(sent)).toBe("SignatureDoesNotMatch");
  });

  it("an action that was not signed", async () => {
    const sent = await signed();
    const added = withHeader("x-amz-target", () => "AmazonSQS.PurgeQueue");
    expect(await ask(added(sent))).toBe("SignatureDoesNotMatch");
    expect(await ask(added(await presigned()))).toBe("SignatureDoesNotMatch");
  });

  it("a hash of another body, though it was not signed", async () => {
    const added = withHeader("x-amz-content-sha256", () => "0".repeat(64));
    expect(await ask(added(await presigned()))).toBe("SignatureDoesNotMatch");
  });

  it.each([
    ["service", "/sqs/", "/sns/", "correct service: 'sqs'"],
    ["end", "/aws4_request", "/aws5_request", "valid terminator: 'aws4_request'"],
    ["date", "/20260301/", "/20260302/", "'20260302' != '20260301'"],
  ])("a scope of another %s, before any signature is made", async (_name, from, to, says) => {
    const sent = inAuthorization(from, to)(await signed());
    const refused = await verifySignature(requestOf(sent), sent.body, claimOf(requestOf(sent)), "", NOW_MS);
    expect(refused).toHaveProperty("message", expect.stringContaining(says));
  });

  it("a header that was signed, though it was empty", async () => {
    const sent = await signed({ headers: { "my-header": "" } });
    expect(await ask(sent)).toBe("valid");
    const { "my-header": _, ...headers } = sent.headers;
    expect(await ask({ ...sent, headers })).toBe("SignatureDoesNotMatch");
  });

  it("nothing: what a proxy adds is not signed", async () => {
    const added = withHeader("x-amz-cf-id", () => "abc");
    expect(await ask(added(await signed()))).toBe("valid");
  });
});

describe("a presigned request", () => {
  it("is told from one with a header", async () => {
    const answer = credentialOf(requestOf(await presigned({ query: { Action: "ListQueues" } }, 90)));
    expect(answer).toMatchObject({
      ok: true,
      value: { from: "query", region: "eu-west-1", expiresSeconds: 90, signedHeaders: ["host"] },
    });
  });

  const changes: [string, (sent: Sent) => Sent][] = [
    ["a longer life", withUrl((url) => url.searchParams.set("X-Amz-Expires", "61"))],
    ["no end", withUrl((url) => url.searchParams.delete("X-Amz-Expires"))],
    ["another action", withUrl((url) => url.searchParams.set("Action", "PurgeQueue"))],
    ["a second action", withUrl((url) => url.searchParams.append("Action", "PurgeQueue"))],
    ["another time", withUrl((url) => url.searchParams.set("X-Amz-Date", "20260301T120001Z"))],
    ["a body", (sent) => ({ ...sent, method: "POST", body: utf8("Action=PurgeQueue") })],
  ];
  it.each(changes)("is refused with %s", async (_name, change) => {
    const sent = await presigned({ query: { Action: "ListQueues" } });
    expect(await ask(sent)).toBe("valid");
    expect(await ask(change(sent))).toBe("SignatureDoesNotMatch");
  });

  it.each([1, 60, 604_800])("is good for %d seconds", async (seconds) => {
    const sent = await presigned({}, seconds);
    expect(await ask(sent, NOW_MS + seconds * 1_000)).toBe("valid");
    expect(await ask(sent, NOW_MS + seconds * 1_000 + 1)).toBe("SignatureDoesNotMatch");
    expect(await ask(sent, NOW_MS - SKEW_MS)).toBe("valid");
    expect(await ask(sent, NOW_MS - SKEW_MS - 1)).toBe("SignatureDoesNotMatch");
  });
});

describe("time", () => {
  it("may be off by a quarter of an hour, both ways", async () => {
    const sent = await signed();
    expect(await ask(sent, NOW_MS - SKEW_MS)).toBe("valid");
    expect(await ask(sent, NOW_MS + SKEW_MS)).toBe("valid");
    expect(await ask(sent, NOW_MS - SKEW_MS - 1)).toBe("SignatureDoesNotMatch");
    expect(await ask(sent, NOW_MS + SKEW_MS + 1)).toBe("SignatureDoesNotMatch");
  });

  it("is told in the words by which clients set their clocks", async () => {
    const request = requestOf(await signed());
    const claim = claimOf(request);
    const at = (nowMs: number) => verifySignature(request, utf8(""), claim, "secret", nowMs);
    expect(await at(NOW_MS + 2 * SKEW_MS)).toHaveProperty(
      "message",
      "Signature expired: 20260301T120000Z is now earlier than 20260301T121500Z (20260301T123000Z - 15 min.)",
    );
    expect(await at(NOW_MS - 2 * SKEW_MS)).toHaveProperty(
      "message",
      "Signature not yet current: 20260301T120000Z is still later than 20260301T114500Z (20260301T113000Z + 15 min.)",
    );
  });

  it("may be that of the header Date, in either form", async () => {
    const sent = await signed();
    const { "x-amz-date": at, ...headers } = sent.headers;
    for (const date of [at!, "Sun, 01 Mar 2026 12:00:00 GMT"]) {
      const answer = credentialOf(requestOf({ ...sent, headers: { ...headers, date } }));
      expect(answer).toMatchObject({ ok: true, value: { timestamp: at } });
    }
  });
});
