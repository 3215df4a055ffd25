// What the broker's refusals are called in SQS.
import type { ErrorCode } from "../../protocol/errors.ts";
import type { Refusal, Result } from "../../protocol/result.ts";
import { answered, NO_QUEUE, sqsRefusal, type Answer, type SqsErrorName, type SqsRefusal } from "./errors.ts";
import { invalidBecause, missing } from "./parameters.ts";

const NAMES: Partial<Record<ErrorCode, SqsErrorName>> = {
  unauthenticated: "InvalidClientTokenId",
  forbidden: "AccessDenied",
  queue_exists: "QueueNameExists",
  task_not_found: "ResourceNotFoundException",
  quota_exceeded: "OverLimit",
  queue_full: "OverLimit",
  too_many_leases: "OverLimit",
  consumer_exclusive: "OverLimit",
  too_many_consumers: "OverLimit",
  rate_limited: "RequestThrottled",
  internal: "InternalFailure",
  unavailable: "ServiceUnavailable",
  partitions_changed: "ServiceUnavailable",
};

export const NO_DEDUP_ID = invalidBecause(
  "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
);

const DELETED_RECENTLY = sqsRefusal(
  "QueueDeletedRecently",
  "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
);

/** Everything that is not listed is about a value. A name that can be no queue's is the name of none. */
export function sqsRefusalOf({ code, detail, facts }: Refusal): SqsRefusal {
  if (code === "queue_not_found" || code === "bad_name") return NO_QUEUE;
  if (code === "deleted_recently") return DELETED_RECENTLY;
  if (code === "field_required") {
    return facts?.["field"] === "orderingKey" ? missing("MessageGroupId") : NO_DEDUP_ID;
  }
  return sqsRefusal(NAMES[code] ?? "InvalidParameterValue", detail);
}

export function sqsAnswer<T>(result: Result<T>): Answer<T> {
  return result.ok ? answered(result.value) : sqsRefusalOf(result);
}
