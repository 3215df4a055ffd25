/**
 * Objects share what their isolate knows of layouts. Here each stay of an object in memory is an isolate of its own,
 * so that what an object knows is as old as itself. Callers keep what they know in their own.
 */
import { Layouts, ONE_PARTITION } from "../../../src/partitions/layouts.ts";
import type { QueueLayout } from "../../../src/protocol/rpc.ts";
import { currentLife } from "../routing/platform.ts";

/** The function it returns puts everything back. */
export function separateIsolates(): () => void {
  const shared = Layouts.prototype;
  const before = Object.getOwnPropertyDescriptors(shared);
  const known = new WeakMap<object, Map<string, QueueLayout>>();
  const mapOf = (layouts: Layouts): Map<string, QueueLayout> => {
    const owner = currentLife.getStore() ?? layouts;
    const map = known.get(owner) ?? new Map<string, QueueLayout>();
    known.set(owner, map);
    return map;
  };
  shared.of = function (queue) {
    return mapOf(this).get(queue) ?? ONE_PARTITION;
  };
  shared.learn = function (queue, layout) {
    mapOf(this).set(queue, layout);
  };
  shared.forget = function (queue) {
    mapOf(this).delete(queue);
  };
  return () => Object.defineProperties(shared, before);
}
