import { LIMITS } from "./limits.ts";
import { ok, refuse, type Result } from "./result.ts";

/** PROTOCOL §1.2: letters, digits, `.`, `_`, `-`; the first is no `.`; at most 128 bytes. */
export const NAME_PATTERN = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;

/** Checks a name; `field` is what the refusal calls it. */
export function parseName(field: string, name: string): Result<string> {
  if (NAME_PATTERN.test(name)) return ok(name);
  const shown = name.length > 40 ? `${name.slice(0, 40)}…` : name;
  return refuse(
    "bad_name",
    `${field}: "${shown}" must be 1 to ${LIMITS.nameBytesMax} letters, digits, ".", "_" or "-", the first not "."`,
  );
}

/** The name of an object: of a queue, an exchange, a hub. The namespace keeps one tenant from addressing another's. */
export function objectName(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

export function splitObjectName(objectName: string): { namespace: string; name: string } {
  const slash = objectName.indexOf("/");
  return { namespace: objectName.slice(0, slash), name: objectName.slice(slash + 1) };
}

/** The object of a queue's partition. The first is the queue's own: a queue of one partition has no other. */
export function partitionName(namespace: string, queue: string, partition: number): string {
  const name = objectName(namespace, queue);
  return partition === 0 ? name : `${name}/${partition}`;
}

export function splitPartitionName(partitionName: string): {
  namespace: string;
  queue: string;
  partition: number;
} {
  const [namespace = "", queue = "", partition = "0"] = partitionName.split("/");
  return { namespace, queue, partition: Number(partition) };
}
