// Tags are the labels of a queue. Labels that begin with `aws:`, as no tag may, are attributes of the gateway's.
import type { QueueConfig } from "../../protocol/queue-config.ts";
import type { SqsRefusal } from "./errors.ts";
import { invalidBecause } from "./parameters.ts";

export const LABEL_PREFIX = "aws:sqs:";

const TAGS_MAX = 50;
const KEY_CHARACTERS_MAX = 128;
const VALUE_CHARACTERS_MAX = 256;

/** Of keys and values: letters, digits and spaces of any script, and some signs. */
const ALLOWED = /^[\p{L}\p{N}\p{Z}_.:/=+@-]*$/u;

type Texts = Readonly<Record<string, string>>;

export function tagsOf({ labels }: Pick<QueueConfig, "labels">): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => !isReserved(name)));
}

function isReserved(name: string): boolean {
  return name.toLowerCase().startsWith("aws:");
}

/** `before`: the tags that the queue has. */
export function refuseTags(tags: Texts, before: Texts, queue: string): SqsRefusal | null {
  for (const [key, value] of Object.entries(tags)) {
    if (key === "" || Array.from(key).length > KEY_CHARACTERS_MAX) {
      return invalidBecause(`Tag keys must be between 1 and ${KEY_CHARACTERS_MAX} characters in length.`);
    }
    if (isReserved(key)) return invalidBecause("Tag keys must not begin with aws:, which is reserved.");
    if (Array.from(value).length > VALUE_CHARACTERS_MAX) {
      return invalidBecause(`Tag values must be between 0 and ${VALUE_CHARACTERS_MAX} characters in length.`);
    }
    if (!ALLOWED.test(key + value)) {
      return invalidBecause("Tags can only include letters, digits, spaces and _ . : / = + - @.");
    }
  }
  return Object.keys({ ...before, ...tags }).length > TAGS_MAX
    ? invalidBecause(`Too many tags added for queue ${queue}.`)
    : null;
}
