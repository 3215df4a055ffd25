// What the three batch actions have in common: rules for the list as a whole, and failures of single entries inside.
import { SQS_ERRORS, sqsRefusal, type Answer, type SqsRefusal } from "./errors.ts";
import type { OutputOf } from "./shapes.ts";

const ENTRIES_MAX = 10;

export interface BatchOutcome<T> {
  readonly id: string;
  readonly answer: Answer<T>;
}

type Failed = OutputOf<"SendMessageBatch">["Failed"];

/** `name`: what the list's entries are called. */
export function refuseBatch(entries: readonly { readonly Id: string }[], name: string): SqsRefusal | null {
  if (entries.length === 0) {
    return sqsRefusal("EmptyBatchRequest", `There should be at least one ${name} in the request.`);
  }
  if (entries.length > ENTRIES_MAX) {
    return sqsRefusal(
      "TooManyEntriesInBatchRequest",
      `Maximum number of entries per request are ${ENTRIES_MAX}. You have sent ${entries.length}.`,
    );
  }
  const ids = new Set<string>();
  for (const { Id } of entries) {
    if (!/^[A-Za-z0-9_-]{1,80}$/.test(Id)) {
      return sqsRefusal(
        "InvalidBatchEntryId",
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
      );
    }
    if (ids.has(Id)) return sqsRefusal("BatchEntryIdsNotDistinct", `Id ${Id} repeated.`);
    ids.add(Id);
  }
  return null;
}

export function failuresOf(outcomes: readonly BatchOutcome<unknown>[]): Failed {
  return outcomes.flatMap(({ id, answer }) => {
    if (answer.ok) return [];
    const { code, fault } = SQS_ERRORS[answer.error];
    const isEmptyBody = answer === EMPTY_BODY;
    return [
      {
        Id: id,
        SenderFault: fault === "Sender",
        Code: isEmptyBody ? "EmptyValue" : code,
        // The one sentence that is another inside a batch.
        Message: answer.message.replace(/^(One or more parameters) are invalid/, "$1 cannot be validated"),
      },
    ];
  });
}

/** In a batch its code is one that is told nowhere else. */
export const EMPTY_BODY = sqsRefusal(
  "MissingParameter",
  "The request must contain the parameter MessageBody.",
);
