// Queues as things: made, found, listed, looked at, changed, emptied and taken away.
import type { QueueInfo } from "../../../protocol/commands.ts";
import { withChanges, type QueueChanges } from "../../../protocol/queue-config.ts";
import type { Result } from "../../../protocol/result.ts";
import type { GrantVerb } from "../../../protocol/rpc.ts";
import type { Actions, Caller } from "../caller.ts";
import { answered, sqsRefusal, type Answer, type SqsRefusal } from "../errors.ts";
import { isFifo, queueOfUrl, queueUrl } from "../identifiers.ts";
import { defaultConfig, readAttributes, unknownAttribute, writeAttributes } from "../queue-attributes.ts";
import { listPage } from "../pages.ts";
import { invalidBecause, missing } from "../parameters.ts";
import { refusedTarget } from "../redrive-policies.ts";
import { sqsAnswer, sqsRefusalOf } from "../refusals.ts";
import { refuseTags, tagsOf } from "../tags.ts";

type QueueAction =
  | "CreateQueue"
  | "GetQueueUrl"
  | "ListQueues"
  | "DeleteQueue"
  | "PurgeQueue"
  | "GetQueueAttributes"
  | "SetQueueAttributes"
  | "TagQueue"
  | "UntagQueue"
  | "ListQueueTags";

type Texts = Readonly<Record<string, string>>;

/** To find a queue takes any grant over its name. */
const ANYONE: readonly GrantVerb[] = ["publish", "consume", "manage"];
/** Attributes and tags are for those who may look at the queue, as at every other door. */
const READERS: readonly GrantVerb[] = ["consume", "manage"];
const NAME = /^[A-Za-z0-9_-]{1,80}$/;
const FIFO_NAME = /^[A-Za-z0-9_-]{1,75}\.fifo$/;

export const queueActions: Actions<QueueAction> = {
  async CreateQueue({ QueueName: queue, Attributes = {}, tags = {} }, caller) {
    const refused = refuseName(queue, Attributes) ?? refuseTags(tags, {}, queue);
    if (refused !== null) return refused;
    const changes = writeAttributes(Attributes, queue);
    if (!changes.ok) return changes;
    const lacking = lacksTarget(changes.value, caller);
    if (lacking !== null) return lacking;
    const config = withChanges({ ...defaultConfig(queue), labels: tags }, changes.value);
    const declared = await caller.broker.ask({
      queue,
      verbs: ["manage"],
      method: "declare",
      repeatable: true,
      run: (stub) => stub.declare(config, { respectsRest: caller.restMs > 0 }),
    });
    if (declared.ok) return answered({ QueueUrl: queueUrl(caller.origin, queue) });
    return declared.code === "queue_exists"
      ? compare(queue, Attributes, caller)
      : (targetRefusal(declared, Attributes) ?? sqsRefusalOf(declared));
  },

  async GetQueueUrl({ QueueName: queue }, caller) {
    const info = await inspect(queue, ANYONE, caller);
    return info.ok ? answered({ QueueUrl: queueUrl(caller.origin, queue) }) : info;
  },

  async ListQueues({ QueueNamePrefix: prefix = "", MaxResults, NextToken }, caller) {
    const page = await listPage({ prefix, max: MaxResults, token: NextToken }, caller);
    if (!page.ok) return page;
    const { urls, ...rest } = page.value;
    return answered({ ...(urls.length === 0 ? {} : { QueueUrls: urls }), ...rest });
  },

  async DeleteQueue({ QueueUrl }, caller) {
    const queue = queueOfUrl(QueueUrl);
    const rest = caller.restMs === 0 ? {} : { restMs: caller.restMs };
    const removed = await caller.broker.ask({
      queue,
      verbs: ["manage"],
      method: "remove",
      repeatable: false,
      run: (stub) => stub.remove({ ifEmpty: false, ifUnused: false, ...rest }),
    });
    return removed.ok ? answered({}) : sqsRefusalOf(removed);
  },

  async PurgeQueue({ QueueUrl }, caller) {
    const queue = queueOfUrl(QueueUrl);
    const rest = caller.restMs === 0 ? {} : { restMs: caller.restMs };
    const purged = await caller.broker.ask({
      queue,
      verbs: ["manage"],
      method: "purge",
      repeatable: false,
      run: (stub) => stub.purge({ leased: true, dedup: true, ...rest }),
    });
    if (purged.ok) return answered({});
    return purged.code === "purged_recently"
      ? sqsRefusal(
          "PurgeQueueInProgress",
          `Only one PurgeQueue operation on ${queue} is allowed every 60 seconds.`,
        )
      : sqsRefusalOf(purged);
  },

  async GetQueueAttributes({ QueueUrl, AttributeNames = [] }, caller) {
    const info = await inspect(queueOfUrl(QueueUrl), READERS, caller);
    if (!info.ok) return info;
    const attributes = readAttributes(info.value, AttributeNames, caller.region);
    if (!attributes.ok) return attributes;
    return answered(Object.keys(attributes.value).length === 0 ? {} : { Attributes: attributes.value });
  },

  async SetQueueAttributes({ QueueUrl, Attributes }, caller) {
    const queue = queueOfUrl(QueueUrl);
    const before = await inspect(queue, ["manage"], caller);
    if (!before.ok) return before;
    const changes = writeAttributes(Attributes, queue, before.value);
    if (!changes.ok) return changes;
    const lacking = lacksTarget(changes.value, caller);
    if (lacking !== null) return lacking;
    const updated = await update(queue, changes.value, caller);
    if (updated.ok) return answered({});
    return targetRefusal(updated, Attributes) ?? sqsRefusalOf(updated);
  },

  async TagQueue({ QueueUrl, Tags }, caller) {
    const queue = queueOfUrl(QueueUrl);
    // Query has no way to write an empty map, so none is what it says in the other protocol too.
    if (Object.keys(Tags).length === 0) return missing("Tags");
    const before = await inspect(queue, ["manage"], caller);
    if (!before.ok) return before;
    const refused = refuseTags(Tags, tagsOf(before.value.config), queue);
    return refused ?? changed(await update(queue, { labels: Tags }, caller));
  },

  async UntagQueue({ QueueUrl, TagKeys }, caller) {
    const queue = queueOfUrl(QueueUrl);
    if (TagKeys.length === 0) return missing("TagKeys");
    const refused = refuseTags(Object.fromEntries(TagKeys.map((key) => [key, ""])), {}, queue);
    if (refused !== null) return refused;
    const labels = Object.fromEntries(TagKeys.map((key) => [key, null]));
    return changed(await update(queue, { labels }, caller));
  },

  async ListQueueTags({ QueueUrl }, caller) {
    const info = await inspect(queueOfUrl(QueueUrl), READERS, caller);
    if (!info.ok) return info;
    const tags = tagsOf(info.value.config);
    return answered(Object.keys(tags).length === 0 ? {} : { Tags: tags });
  },
};

export async function inspect(
  queue: string,
  verbs: readonly GrantVerb[],
  { broker }: Caller,
): Promise<Answer<QueueInfo>> {
  const question = { queue, verbs, method: "inspect", repeatable: true };
  return sqsAnswer(await broker.ask({ ...question, run: (stub) => stub.inspect() }));
}

export function update(queue: string, changes: QueueChanges, { broker }: Caller): Promise<Result<QueueInfo>> {
  return broker.ask({
    queue,
    verbs: ["manage"],
    method: "update",
    repeatable: true,
    run: (stub) => stub.update(changes),
  });
}

export function changed(result: Result<unknown>): Answer<Readonly<Record<string, never>>> {
  return result.ok ? answered({}) : sqsRefusalOf(result);
}

function refuseName(queue: string, attributes: Texts): SqsRefusal | null {
  if (queue === "") return invalidBecause("Queue name cannot be empty");
  const wantsFifo = attributes["FifoQueue"]?.toLowerCase() === "true";
  if (wantsFifo) {
    return FIFO_NAME.test(queue)
      ? null
      : invalidBecause(
          "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.",
        );
  }
  if (attributes["FifoQueue"] !== undefined && !isFifo(queue)) return unknownAttribute("FifoQueue");
  return NAME.test(queue)
    ? null
    : invalidBecause("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length");
}

/** A queue of the name is there: only what the request says of it counts. */
async function compare(
  queue: string,
  attributes: Texts,
  caller: Caller,
): Promise<Answer<{ QueueUrl: string }>> {
  const info = await inspect(queue, ["manage"], caller);
  if (!info.ok) return info;
  const told = readAttributes(info.value, Object.keys(attributes), caller.region);
  if (!told.ok) return told;
  const wanted = writeAttributes(attributes, queue, info.value);
  if (!wanted.ok) return wanted;
  // What setting them would change is compared: "0042" and "42" are one number.
  const after = { ...info.value, config: withChanges(info.value.config, wanted.value) };
  const asked = readAttributes(after, Object.keys(attributes), caller.region);
  if (!asked.ok) return asked;
  const other = Object.keys(attributes).find((name) => told.value[name] !== asked.value[name]);
  return other === undefined
    ? answered({ QueueUrl: queueUrl(caller.origin, queue) })
    : sqsRefusal(
        "QueueNameExists",
        `A queue already exists with the same name and a different value for attribute ${other}`,
      );
}

/** Naming a dead-letter queue sends messages there, so it takes the right to do that. */
function lacksTarget({ deadLetter }: QueueChanges, { broker }: Caller): SqsRefusal | null {
  if (deadLetter === null || deadLetter === undefined || !("queue" in deadLetter)) return null;
  const lacking = broker.lacks(["publish", "manage"], deadLetter.queue);
  return lacking === null ? null : sqsRefusalOf(lacking);
}

function targetRefusal(result: Result<unknown>, { RedrivePolicy: policy = "" }: Texts): SqsRefusal | null {
  if (result.ok) return null;
  if (result.code !== "dead_letter_missing" && result.code !== "dead_letter_refused") return null;
  return refusedTarget(policy, result.code === "dead_letter_missing");
}
