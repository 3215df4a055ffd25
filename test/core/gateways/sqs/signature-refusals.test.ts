// Signature Version 4: what is no signature.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { signToken } from "../../../../src/edge/identity.ts";
import { credentialOf } from "../../../../src/gateways/sqs/signature.ts";
import { ask, HOST, presigned, utf8, withUrl } from "../../../support/signed-requests.ts";

describe("what is no signature is refused as one that is incomplete:", () => {
  const scope = "id/20260301/eu-west-1/sqs/aws4_request";
  const good = `Credential=${scope}, SignedHeaders=host;x-amz-date, Signature=${"0".repeat(64)}`;
  const at = { "x-amz-date": "20260301T120000Z" };
  const headers: [string, Record<string, string>][] = [
    ["nothing but the algorithm", { authorization: "AWS4-HMAC-SHA256", ...at }],
    ["another algorithm", { authorization: `AWS4-ECDSA-P256-SHA256 ${good}`, ...at }],
    ["an empty header", { authorization: "", ...at }],
    [
      "no credential",
      { authorization: `AWS4-HMAC-SHA256 ${good.replace("Credential", "Credentials")}`, ...at },
    ],
    ["no signature", { authorization: `AWS4-HMAC-SHA256 ${good.replace(/0{64}/, "")}`, ...at }],
    ["no headers", { authorization: `AWS4-HMAC-SHA256 ${good.replace(/host;x-amz-date/, "")}`, ...at }],
    ["two credentials", { authorization: `AWS4-HMAC-SHA256 ${good}, Credential=${scope}`, ...at }],
    ["a pair that is none", { authorization: `AWS4-HMAC-SHA256 ${good}, more`, ...at }],
    [
      "a credential with a space",
      { authorization: `AWS4-HMAC-SHA256 ${good.replace("id/", " id/")}`, ...at },
    ],
    ["a credential of four", { authorization: `AWS4-HMAC-SHA256 ${good.replace("/sqs", "")}`, ...at }],
    ["a credential of six", { authorization: `AWS4-HMAC-SHA256 ${good.replace("/sqs", "/sqs/x")}`, ...at }],
    ["no region", { authorization: `AWS4-HMAC-SHA256 ${good.replace("eu-west-1", "")}`, ...at }],
    [
      "a region that is none",
      { authorization: `AWS4-HMAC-SHA256 ${good.replace("eu-west-1", "a:b")}`, ...at },
    ],
    ["headers in upper case", { authorization: `AWS4-HMAC-SHA256 ${good.replace("host", "Host")}`, ...at }],
    ["no time", { authorization: `AWS4-HMAC-SHA256 ${good}` }],
    [
      "a time in another form",
      { authorization: `AWS4-HMAC-SHA256 ${good}`, "x-amz-date": "2026-03-01T12:00:00Z" },
    ],
    ["a time that is none", { authorization: `AWS4-HMAC-SHA256 ${good}`, "x-amz-date": "20261301T120000Z" }],
    ["a date that is none", { authorization: `AWS4-HMAC-SHA256 ${good}`, date: "yesterday" }],
  ];
  it.each(headers)("%s", async (_name, all) => {
    const sent = { method: "POST", url: `http://${HOST}/`, headers: { host: HOST, ...all }, body: utf8("") };
    expect(await ask(sent)).toBe("IncompleteSignature");
  });

  const queries: [string, (url: URL) => void][] = [
    ...["Algorithm", "Credential", "Signature", "SignedHeaders", "Date"].map(
      (name): [string, (url: URL) => void] => [
        `a URL without ${name}`,
        (url) => url.searchParams.delete(`X-Amz-${name}`),
      ],
    ),
    ["a URL of another algorithm", (url) => url.searchParams.set("X-Amz-Algorithm", "AWS4-HMAC-SHA1")],
    ...["0", "-1", "604801", "1e3", "", "1.5", " 1"].map((text): [string, (url: URL) => void] => [
      `a URL for "${text}" seconds`,
      (url) => url.searchParams.set("X-Amz-Expires", text),
    ]),
    ["a URL with a time in another form", (url) => url.searchParams.set("X-Amz-Date", "now")],
  ];
  it.each(queries)("%s", async (_name, change) => {
    expect(await ask(withUrl(change)(await presigned()))).toBe("IncompleteSignature");
  });

  it("a bearer token, which is not repeated in the answer", async () => {
    const claims = { namespace: "acme", subject: "w", expiresMs: Date.now() + 60_000, grants: [] };
    const token = await signToken(claims, "a secret that is long enough for HS256");
    const headers = { authorization: `Bearer ${token}` };
    const answer = credentialOf(new Request(`http://${HOST}/`, { method: "POST", headers }));
    expect(answer).toMatchObject({ ok: false, error: "IncompleteSignature" });
    expect(JSON.stringify(answer)).not.toContain(token);
  });

  it("anything at all, without a throw", async () => {
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[ -~]{0,80}$/), fc.boolean(), async (text, isSigned) => {
        const authorization = isSigned ? `AWS4-HMAC-SHA256 ${text}` : text;
        const headers = { host: HOST, authorization, ...at };
        const sent = { method: "POST", url: `http://${HOST}/`, headers, body: utf8("") };
        expect(["IncompleteSignature", "SignatureDoesNotMatch"]).toContain(await ask(sent));
      }),
    );
  });
});
