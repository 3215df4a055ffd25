// AddPermission and RemovePermission.
import type { Actions } from "../caller.ts";
import { sqsRefusal, type SqsRefusal } from "../errors.ts";
import { queueOfUrl } from "../identifiers.ts";
import { invalid, missing } from "../parameters.ts";
import { hasPermission, withoutPermission, withPermission } from "../permissions.ts";
import { isActionName } from "../shapes.ts";
import { changed, inspect, update } from "./queues.ts";

const ACTIONS_MAX = 7;
const GRANTABLE = new Set([
  "*",
  "ChangeMessageVisibility",
  "DeleteMessage",
  "GetQueueAttributes",
  "GetQueueUrl",
  "ListDeadLetterSourceQueues",
  "PurgeQueue",
  "ReceiveMessage",
  "SendMessage",
]);

export const permissionActions: Actions<"AddPermission" | "RemovePermission"> = {
  async AddPermission({ QueueUrl, Label, AWSAccountIds, Actions: actions }, caller) {
    const queue = queueOfUrl(QueueUrl);
    const refused = refuseLabel(Label) ?? refusePermission(AWSAccountIds, actions);
    if (refused !== null) return refused;
    const info = await inspect(queue, ["manage"], caller);
    if (!info.ok) return info;
    if (hasPermission(info.value.config.labels, Label)) return invalid("Label", Label, "Already exists.");
    return changed(await update(queue, withPermission(Label, AWSAccountIds, actions), caller));
  },

  async RemovePermission({ QueueUrl, Label }, caller) {
    const queue = queueOfUrl(QueueUrl);
    const info = await inspect(queue, ["manage"], caller);
    if (!info.ok) return info;
    if (!hasPermission(info.value.config.labels, Label)) {
      return invalid("Label", Label, "can't find label.");
    }
    return changed(await update(queue, withoutPermission(Label), caller));
  },
};

function refuseLabel(label: string): SqsRefusal | null {
  return /^[A-Za-z0-9_-]{1,80}$/.test(label)
    ? null
    : invalid(
        "Label",
        label,
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.",
      );
}

function refusePermission(accounts: readonly string[], actions: readonly string[]): SqsRefusal | null {
  if (actions.length === 0) return missing("ActionName");
  if (actions.length > ACTIONS_MAX) {
    return sqsRefusal(
      "OverLimit",
      `${actions.length} Actions were found, maximum allowed is ${ACTIONS_MAX}.`,
    );
  }
  const unknown = actions.find((action) => !GRANTABLE.has(action));
  if (unknown !== undefined) {
    return invalid(
      "ActionName",
      `SQS:${unknown}`,
      isActionName(unknown)
        ? "Only the queue owner is allowed to invoke this action."
        : "Please refer to the appropriate WSDL for a list of valid actions.",
    );
  }
  const isAccount = (account: string): boolean => /^\d{12}$/.test(account);
  return accounts.length > 0 && accounts.every(isAccount)
    ? null
    : invalid("PrincipalId", `[${accounts.join(", ")}]`, "Unable to verify.");
}
