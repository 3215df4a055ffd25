// Signature Version 4: the published examples.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Signable } from "../../../../src/gateways/sqs/canonical-request.ts";
import { verifySignable, type SignedAs } from "../../../../src/gateways/sqs/signature.ts";
import { claimOf, utf8 } from "../../../support/signed-requests.ts";

interface Example {
  readonly name: string;
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body: string;
  readonly service: string;
  readonly date: string;
  readonly signedHeaders: string;
  readonly signature: string;
}
interface Examples {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  readonly signatures: readonly Example[];
}
const EXAMPLES = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../../vectors/signature-v4.json"), "utf8"),
) as Examples;

describe("the published examples", () => {
  /** What a Request would make of repeated headers, and of paths, is not what is signed in some of them. */
  function signableOf({ method, target, headers }: Example): Signable {
    const [path, query] = target.split("?");
    const pairs = headers.map((line) => [
      line.slice(0, line.indexOf(":")),
      line.slice(line.indexOf(":") + 1),
    ]);
    return {
      method,
      path: path!,
      query: new URLSearchParams(query),
      header(name) {
        const values = pairs.filter((pair) => pair[0]!.toLowerCase() === name).map((pair) => pair[1]!);
        return values.length === 0 ? null : values.join(",");
      },
    };
  }

  function claimIn(example: Example, signature = example.signature): SignedAs {
    const { accessKeyId, region } = EXAMPLES;
    const { date, service, signedHeaders } = example;
    const headers = new Headers();
    for (const line of example.headers) {
      headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1));
    }
    const scope = `${accessKeyId}/${date}/${region}/${service}/aws4_request`;
    headers.set(
      "Authorization",
      `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
    );
    return claimOf(new Request("https://example.amazonaws.com", { headers }));
  }

  function verify(example: Example, claim: SignedAs, nowMs = atOf(claim)) {
    const request = signableOf(example);
    return verifySignable(
      example.service,
      request,
      utf8(example.body),
      claim,
      EXAMPLES.secretAccessKey,
      nowMs,
    );
  }

  function atOf({ timestamp }: SignedAs): number {
    return Date.parse(timestamp.replace(/(....)(..)(..T..)(..)/, "$1-$2-$3:$4:"));
  }

  it.each(EXAMPLES.signatures)("verify: $name", async (example) => {
    expect(await verify(example, claimIn(example))).toBe(null);
  });

  it.each(EXAMPLES.signatures)("take no other signature: $name", async (example) => {
    const other = example.signature.replace(/^./, (digit) => (digit === "0" ? "1" : "0"));
    expect(await verify(example, claimIn(example, other))).toMatchObject({ error: "SignatureDoesNotMatch" });
  });
});
