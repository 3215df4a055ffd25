// Who calls: the owner of the access key that the request is signed with. An open broker takes any signature, or none.
import type { GatewayHost } from "../../protocol/gateway.ts";
import type { Claims } from "../../protocol/rpc.ts";
import { answered, sqsRefusal, type Answer } from "./errors.ts";
import { REGION_DEFAULT } from "./identifiers.ts";
import { sqsRefusalOf } from "./refusals.ts";
import { credentialOf, verifySignature } from "./signature.ts";

export interface Identity {
  readonly claims: Claims;
  readonly region: string;
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
  if (signed.value === null) {
    const { origin, pathname } = new URL(request.url);
    return sqsRefusal("AccessDenied", `Access to the resource ${origin}${pathname} is denied.`);
  }
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
