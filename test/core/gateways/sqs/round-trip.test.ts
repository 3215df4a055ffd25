// Every action over both protocols, between AWS's own client and the wire: what the client means is what is read, and
// what is answered is what the client tells.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ACTIONS, shapeOf, type ActionName, type Call } from "../../../../src/gateways/sqs/shapes.ts";
import { wireOf } from "../../../../src/gateways/sqs/wire.ts";
import { SQS_ERRORS, sqsRefusal, type SqsErrorName } from "../../../../src/gateways/sqs/errors.ts";
import { fuzzRun } from "../../../support/seed.ts";
import { key, structureOf, toldKey } from "../../../support/sqs-arbitrary.ts";
import { sdkOver, type ProtocolName, type SdkCall } from "../../../support/sqs-sdk.ts";

const run = fuzzRun(20);
const ACTION_NAMES = Object.keys(ACTIONS) as ActionName[];

/** Over Query the SDK sends both members under one name, so that they cannot be told apart. */
const NOT_BY: Readonly<Record<ProtocolName, readonly string[]>> = {
  JSON: [],
  Query: ["MessageSystemAttributeNames"],
};

/** A client whose next answer is `output`, and what was read of its call. */
class Conversation {
  output: object = {};
  heard: Call | null = null;
  readonly call: SdkCall;

  constructor(protocol: ProtocolName) {
    this.call = sdkOver(protocol, (request, body) => {
      const wire = wireOf(request);
      const call = wire!.decode(request, body);
      if (!call.ok) return wire!.refuse(call, "r-1");
      this.heard = call.value;
      return wire!.answer(call.value.action, this.output, "r-1");
    });
  }
}

/** Bytes as numbers, whichever class of bytes they are. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, plain(item)]));
}

describe.each(["JSON", "Query"] as const)("over %s", (protocol) => {
  const conversation = new Conversation(protocol);

  it.each(ACTION_NAMES)(
    `%s is read as it was meant, and answered as it was said (seed ${run.seed})`,
    async (action) => {
      const { input, output } = shapeOf(action);
      await fc.assert(
        fc.asyncProperty(
          structureOf(input, key, NOT_BY[protocol]),
          output === null ? fc.constant({}) : structureOf(output, toldKey),
          async (asked, said) => {
            conversation.output = said;
            const told = await conversation.call(action, asked);
            expect(conversation.heard?.action).toBe(action);
            expect(plain(conversation.heard?.input)).toEqual(plain(asked));
            expect(plain(told)).toEqual(plain(said));
          },
        ),
        run,
      );
    },
  );
});

describe.each(["JSON", "Query"] as const)("over %s a refusal", (protocol) => {
  it.each(Object.keys(SQS_ERRORS) as SqsErrorName[])("of %s is raised as what it is", async (error) => {
    const call = sdkOver(protocol, (request) => wireOf(request)!.refuse(sqsRefusal(error, "No."), "r-1"));
    const { type, code, status, fault } = SQS_ERRORS[error];
    const raised: unknown = await call("ListQueues", {}).catch((reason: unknown) => reason);
    expect(raised).toMatchObject({
      // The SDK has a class for what the model has, and the code for a name otherwise.
      name: type.startsWith("com.amazonaws.sqs#") ? error : code,
      Error: { Code: code, Type: fault },
      $fault: fault === "Sender" ? "client" : "server",
      $metadata: { httpStatusCode: status, requestId: "r-1" },
    });
  });
});
