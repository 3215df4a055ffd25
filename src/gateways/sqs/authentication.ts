// Who calls: the owner of the access key that the request is signed with. An open broker takes any signature, or none.
import type { GatewayHost } from "../../protocol/gateway.ts";
import type { Claims } from "../../protocol/rpc.ts";
import { answered, sqsRefusal, type Answer, type SqsRefusal } from "./errors.ts";
import { REGION_DEFAULT } from "./identifiers.ts";
import { sqsRefusalOf } from "./refusals.ts";
import type { ActionName } from "./shapes.ts";
import { credentialOf, verifySignature } from "./signature.ts";

export interface Identity {
  readonly claims: Claims;
  readonly region: string;
}

/** Actions that change nothing. */
const READING: ReadonlySet<ActionName> = new Set([
  "GetQueueUrl",
  "ListQueues",
  "GetQueueAttributes",
  "ListQueueTags",
  "ListDeadLetterSourceQueues",
  "ListMessageMoveTasks",
]);

/**
 * Any page may have a browser GET an address of an open broker, as a picture for one, and not every browser tells where
 * that comes from. What changes something takes a POST, whose origin is looked at. A signature proves nothing here: an
 * open broker takes any.
 */
export function refuseUnasked(request: Request, action: ActionName, host: GatewayHost): SqsRefusal | null {
  return !host.isOpen || request.method !== "GET" || READING.has(action)
    ? null
    : denied(request, ` ${action} takes a POST while the broker has no MILLRACE_SECRET.`);
}

function denied(request: Request, why = ""): SqsRefusal {
  const { origin, pathname } = new URL(request.url);
  return sqsRefusal("AccessDenied", `Access to the resource ${origin}${pathname} is denied.${why}`);
}

export async function authenticate(
  request: Request,
  body: Uint8Array,
  host: GatewayHost,
): Promise<Answer<Identity>> {
  const signed = credentialOf(request);
  if (host.isOpen) {
    const claims = host.openClaims();
    if (!claims.ok) return sqsRefusal("AccessDenied", claims.detail);
    const region = signed.ok ? signed.value?.region : undefined;
    return answered({ claims: claims.value, region: region ?? REGION_DEFAULT });
  }
  if (!signed.ok) return signed;
  if (signed.value === null) return denied(request);
  const { accessKeyId, region } = signed.value;
  const key = await host.accessKey(accessKeyId);
  if (!key.ok) {
    return key.code === "unauthenticated"
      ? sqsRefusal("InvalidClientTokenId", "The security token included in the request is invalid.")
      : sqsRefusalOf(key);
  }
  const refused = await verifySignature(request, body, signed.value, key.value.secretAccessKey, host.now());
  return refused ?? answered({ claims: key.value.claims, region });
}
