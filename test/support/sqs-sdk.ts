// The SDK of AWS with a function in place of the network. It speaks either protocol, by AWS's own code.
import { errorTypeRegistries, SQS } from "@aws-sdk/client-sqs";
import { AwsJson1_0Protocol, AwsQueryProtocol } from "@aws-sdk/core/protocols";
import type { ActionName } from "../../src/gateways/sqs/shapes.ts";

export type ProtocolName = "JSON" | "Query";
/** What stands behind the SDK: a request and its body, and the answer to it. */
export type Endpoint = (request: Request, body: Uint8Array) => Response;

interface SentRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body?: string | Uint8Array;
}

/** Calls an action by its name. What it gives is checked by whoever asks. */
export type SdkCall = (action: ActionName, input: object) => Promise<Readonly<Record<string, unknown>>>;

const ORIGIN = "http://broker.test";

/** It signs with keys that nobody knows. */
export function sdkOver(protocol: ProtocolName, endpoint: Endpoint): SdkCall {
  const client = new SQS({
    endpoint: ORIGIN,
    region: "us-east-1",
    credentials: { accessKeyId: "AKID", secretAccessKey: "secret" },
    maxAttempts: 1,
    md5: false,
    protocol: protocol === "JSON" ? AwsJson1_0Protocol : AwsQueryProtocol,
    protocolSettings: {
      defaultNamespace: "com.amazonaws.sqs",
      errorTypeRegistries,
      xmlNamespace: "http://queue.amazonaws.com/doc/2012-11-05/",
      version: "2012-11-05",
      serviceTarget: "AmazonSQS",
      awsQueryCompatible: true,
    },
    requestHandler: { handle: (sent: SentRequest) => exchange(sent, endpoint), destroy: () => {} },
  });
  const methods = client as unknown as Readonly<Record<string, (input: object) => Promise<object>>>;
  return async (action, input) => {
    const method = action[0]!.toLowerCase() + action.slice(1);
    const { $metadata: _, ...output } = (await methods[method]!.call(client, input)) as Record<
      string,
      unknown
    >;
    return output;
  };
}

async function exchange(sent: SentRequest, endpoint: Endpoint): Promise<object> {
  const request = new Request(ORIGIN + sent.path, { method: sent.method, headers: sent.headers });
  const body = typeof sent.body === "string" ? new TextEncoder().encode(sent.body) : sent.body;
  const response = endpoint(request, body ?? new Uint8Array());
  return {
    response: {
      statusCode: response.status,
      headers: Object.fromEntries(response.headers),
      body: new Uint8Array(await response.arrayBuffer()),
    },
  };
}
