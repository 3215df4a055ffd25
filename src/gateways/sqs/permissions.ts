/**
 * A queue's policy: a JSON document that AddPermission adds statements to. It is kept and told, and has no effect: who
 * may do what is said by access keys. Each added statement is a label of its own, so that two callers who add at the same
 * time both have theirs.
 */
import type { QueueChanges } from "../../protocol/queue-config.ts";
import { answered, sqsRefusal, type Answer } from "./errors.ts";
import { LABEL_PREFIX } from "./tags.ts";

type Labels = Readonly<Record<string, string>>;

const POLICY = `${LABEL_PREFIX}Policy`;
const PERMISSION = `${LABEL_PREFIX}permission:`;

export function policyOf(labels: Labels, arn: string): string | undefined {
  const added = Object.entries(labels).filter(([name]) => name.startsWith(PERMISSION));
  if (added.length === 0) return labels[POLICY];
  const base = labels[POLICY] === undefined ? {} : (JSON.parse(labels[POLICY]) as Record<string, unknown>);
  const before = Array.isArray(base["Statement"]) ? (base["Statement"] as unknown[]) : [];
  const statements = added.map(([name, text]) => ({
    Sid: name.slice(PERMISSION.length),
    ...(JSON.parse(text) as object),
    Resource: arn,
  }));
  return JSON.stringify({
    Version: "2008-10-17",
    Id: `${arn}/SQSDefaultPolicy`,
    ...base,
    Statement: [...before, ...statements],
  });
}

/** Replaces the policy and all that was added to it; an empty text takes it away. */
export function withPolicy(text: string, before: Labels): Answer<QueueChanges> {
  if (text !== "" && !isObject(text)) {
    return sqsRefusal("InvalidAttributeValue", "Invalid value for the parameter Policy.");
  }
  const added = Object.keys(before).filter((name) => name.startsWith(PERMISSION));
  const gone = Object.fromEntries(added.map((name) => [name, null]));
  return answered({ labels: { ...gone, [POLICY]: text === "" ? null : text } });
}

export function hasPermission(labels: Labels, label: string): boolean {
  return labels[PERMISSION + label] !== undefined;
}

export function withPermission(
  label: string,
  accounts: readonly string[],
  actions: readonly string[],
): QueueChanges {
  const statement = {
    Effect: "Allow",
    Principal: { AWS: single(accounts.map((account) => `arn:aws:iam::${account}:root`)) },
    Action: single(actions.map((action) => `SQS:${action}`)),
  };
  return { labels: { [PERMISSION + label]: JSON.stringify(statement) } };
}

export function withoutPermission(label: string): QueueChanges {
  return { labels: { [PERMISSION + label]: null } };
}

/** One of something is written without a list. */
function single(texts: readonly string[]): string | readonly string[] {
  return texts.length === 1 ? texts[0]! : texts;
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
