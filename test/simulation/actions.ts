// What a client or an operator may ask of a queue: each action runs on the core and on the model, and is checked.
import type {
  MessageHandle,
  PublishCommand,
  PurgeOptions,
  ReceiveCommand,
  RedriveCommand,
  Settlement,
} from "../../src/protocol/commands.ts";
import type { QueueConfig } from "../../src/protocol/queue-config.ts";
import type { Consumer } from "../../src/queue/consumers.ts";
import type { Departure } from "../../src/queue/release.ts";
import { check } from "./checkers.ts";
import { factsOf } from "./facts.ts";
import { lacksSomething } from "./model-completion.ts";
import { settle as settleModel } from "./model-delivery.ts";
import type { ModelMessage } from "./model.ts";
import type { Random } from "./random.ts";
import type { Site } from "./site.ts";
import { namesOf, type World } from "./world.ts";

/** Publishes in one turn; null when storage failed, else which commands were accepted. */
export function publish(
  world: World,
  site: Site,
  commands: readonly PublishCommand[],
  random: Random,
): boolean[] | null {
  const models = commands.map(({ batch, producer }) => ({
    facts: factsOf(site.core.codec, batch),
    ...(producer ? { producer } : {}),
  }));
  let answers: boolean[] = [];
  const isDone = world.turn({
    site,
    random,
    // The core writes its header into the bytes it is given; a client that repeats itself sends its own again.
    work: (queue) =>
      queue.publish(
        commands.map((command) => ({ ...command, batch: command.batch.slice() })),
        world.nowMs,
      ),
    apply: (results) => {
      const expected = site.acceptance.publish(models, world.nowMs);
      expected.forEach((one, i) => world.checkers.deduplication.answered(results[i]!, one));
      answers = results.map(({ ok }) => ok);
      world.log(
        `${site.name} ← ${expected.map((one) => (one.ok ? one.sequences.join() : one.code)).join(" | ")}`,
      );
    },
  });
  return isDone ? answers : null;
}

/** Receives as over HTTP; the lease, or null when there was nothing. */
export function receive(world: World, site: Site, command: ReceiveCommand, random: Random): number | null {
  let lease: number | null = null;
  world.turn({
    site,
    random,
    doesDue: true,
    work: (queue) => queue.receive(command, world.nowMs),
    apply: (answer) => {
      const { model } = site;
      if (model.isOverdue) model.tick(world.nowMs);
      const { consumer, attemptId = null, leaseMs = model.config.leaseMs } = command;
      const earlier = [...model.leases.values()].find(
        (one) =>
          attemptId !== null &&
          one.attemptId === attemptId &&
          one.consumer === consumer &&
          !one.isSplit &&
          model.open(one).length === one.messages.length,
      );
      const kept = keptFrom(site, consumer);
      check(answer.ok || (kept === "exclusive" && !earlier), "receive", () => JSON.stringify(answer));
      if (!answer.ok) return;
      lease = answer.value.lease === 0 ? null : answer.value.lease;
      const { receiveWaitMs } = model.config;
      const waitMs = lease === null && receiveWaitMs > 0 ? receiveWaitMs : undefined;
      check(
        answer.value.waitMs === waitMs,
        "receive",
        () => `is to wait ${answer.value.waitMs}, not ${waitMs}`,
      );
      if (!earlier && kept !== null) {
        check(kept === "other" && lease === null, "receive", () => `${consumer} gets ${lease}, ${kept}`);
        return;
      }
      if (earlier)
        check(lease === earlier.id, "receive", () => `attempt ${attemptId} is answered with ${lease}`);
      else site.took(answer.value, { consumer, consumerId: 0, attemptId, leaseMs }, command.max);
      world.log(
        `${site.name} → ${consumer} of ${command.max}: lease ${lease ?? "none"} ${namesOf(site, lease ?? 0)}`,
      );
    },
  });
  return lease;
}

/** An exclusive consumer keeps all receivers out; a single active one gets everything alone. */
function keptFrom({ core, model }: Site, receiver: string): "exclusive" | "other" | null {
  if (model.paused) return null;
  const sockets = [...core.sockets.values()];
  if (sockets.some(({ isExclusive }) => isExclusive)) return "exclusive";
  if (!model.config.singleActiveConsumer) return null;
  const holders = [...model.leases.values()].filter((lease) => model.open(lease).length > 0);
  return sockets.length > 0 || holders.some(({ consumer }) => consumer !== receiver) ? "other" : null;
}

export function settle(world: World, site: Site, settlement: Settlement, random: Random): boolean {
  return world.turn({
    site,
    random,
    work: (queue) => queue.settle([settlement], world.nowMs),
    apply: ([result]) => {
      const { lease, verdict, sequences, ...rest } = settlement;
      const named = JSON.stringify(sequences ?? "all");
      world.log(`${site.name} ${verdict} ${named} of lease ${lease} ${JSON.stringify(rest)}`);
      world.checkers.fencing.settled(result!, settleModel(site.model, settlement, world.nowMs));
    },
  });
}

export function attach(world: World, site: Site, consumer: Consumer, random: Random): void {
  world.turn({
    site,
    random,
    work: (queue) => queue.attach({ ...consumer }),
    apply: (answer) => {
      const others = [...site.core.sockets.values()];
      const isRefused = others.some((one) => one.isExclusive) || (consumer.isExclusive && others.length > 0);
      check(answer.ok !== isRefused, "credit", () => `${consumer.name}: ${JSON.stringify(answer)}`);
      if (answer.ok) site.core.sockets.set(consumer.id, consumer);
      world.log(`${site.name} + ${consumer.name} credit ${consumer.credit} ${answer.ok ? "" : answer.code}`);
    },
  });
}

export function detach(world: World, site: Site, id: number, how: Departure, random: Random): void {
  // The socket is gone whether or not its farewell could be stored: then its messages are given back on reopening.
  world.turn({
    site,
    random,
    work: (queue) => queue.detach(id, how, world.nowMs),
    apply: () => {
      world.log(`${site.name} - consumer ${id} ${how}`);
      site.core.sockets.delete(id);
      site.model.release(id, how);
    },
  });
}

export function changeConsumer(
  world: World,
  site: Site,
  id: number,
  change: Partial<Pick<Consumer, "credit" | "isDraining">>,
  random: Random,
): void {
  world.turn({
    site,
    random,
    work: (queue) => {
      const consumer = queue.consumer(id);
      if (consumer) Object.assign(consumer, change);
    },
    apply: () => {
      const known = site.core.sockets.get(id);
      if (known) site.core.sockets.set(id, { ...known, ...change });
      world.log(`${site.name} consumer ${id} ${JSON.stringify(change)}`);
    },
  });
}

function found(site: Site, handle: MessageHandle): ModelMessage | null {
  if ("id" in handle) return site.model.byId(handle.id);
  return site.model.messages.get(site.model.cancelKeys.get(handle.cancelKey) ?? 0) ?? null;
}

function cancelCode(message: ModelMessage | null): string | null {
  if (message === null) return "message_not_found";
  return message.state === "leased" ? "message_leased" : null;
}

export function cancel(world: World, site: Site, handle: MessageHandle, random: Random): void {
  world.turn({
    site,
    random,
    work: (queue) => queue.cancel(handle),
    apply: (answer) => {
      const message = found(site, handle);
      const actual = answer.ok ? null : answer.code;
      const code = cancelCode(message);
      world.log(`${site.name} cancel ${JSON.stringify(handle)}: ${code ?? "done"}`);
      check(actual === code, "cancel", () => `${JSON.stringify(handle)} is ${actual}, must be ${code}`);
      if (message && code === null) site.model.cancel(message);
    },
  });
}

export function replace(
  world: World,
  site: Site,
  handle: MessageHandle,
  batch: Uint8Array,
  random: Random,
): void {
  const facts = factsOf(site.core.codec, batch);
  world.turn({
    site,
    random,
    work: (queue) => queue.replace(handle, batch.slice(), world.nowMs),
    apply: (answer) => {
      const message = found(site, handle);
      const actual = answer.ok ? null : answer.code;
      const lacks = facts.some((one) => lacksSomething(one, site.model.config));
      const code = cancelCode(message) ?? (lacks ? "field_required" : null);
      world.log(`${site.name} replace ${JSON.stringify(handle)}: ${actual ?? "done"}`);
      // Refused for room it changed nothing: what is there is still compared.
      if (actual === "queue_full" || actual === "batch_too_large") return;
      check(actual === code, "replace", () => `${JSON.stringify(handle)} is ${actual}, must be ${code}`);
      if (!message || code !== null) return;
      site.model.cancel(message);
      const [expected] = site.acceptance.publish([{ facts }], world.nowMs, message.sequence);
      world.checkers.deduplication.answered(answer, expected!);
    },
  });
}

export function purge(world: World, site: Site, options: PurgeOptions, random: Random): void {
  world.turn({
    site,
    random,
    work: (queue) => queue.purge(options),
    apply: ({ messages }) => {
      const { upToSequence = Number.POSITIVE_INFINITY, leased = false, dedup = false } = options;
      const expected = site.model.purge(upToSequence, leased);
      if (dedup) site.acceptance.forgetDedups();
      world.log(`${site.name} purge ${JSON.stringify(options)}: ${messages}`);
      check(messages === expected, "purge", () => `${messages} purged, must be ${expected}`);
    },
  });
}

export function pause(world: World, site: Site, paused: boolean, random: Random): void {
  world.turn({
    site,
    random,
    work: (queue) => queue.store({ paused }),
    apply: () => {
      site.model.paused = paused;
      world.log(`${site.name} ${paused ? "pauses" : "goes on"}`);
    },
  });
}

export function update(world: World, site: Site, changes: Partial<QueueConfig>, random: Random): void {
  world.turn({
    site,
    random,
    work: (queue) => queue.store({ config: { ...queue.config, ...changes } }),
    apply: () => {
      site.model.config = { ...site.model.config, ...changes };
      world.log(`${site.name} config ${JSON.stringify(changes)}`);
    },
  });
}

export function redrive(world: World, site: Site, command: RedriveCommand, random: Random): void {
  world.turn({
    site,
    random,
    isRedrive: true,
    work: (queue) => {
      const before = queue.redrives(100);
      const answer = queue.redrive(command, world.nowMs);
      return { before, answer, after: queue.redrives(100) };
    },
    apply: ({ before, answer, after }) => {
      const isBeside = before.some(({ state }) => state === "running");
      const isRefused = command.alone === true && !command.dryRun && isBeside;
      check(answer.ok !== isRefused, "redrive", () => JSON.stringify([command, before, answer]));
      if (!answer.ok) return;
      const { task, state, scanned, matched, moved, total, startedMs } = answer.value;
      world.log(`${site.name} redrive ${JSON.stringify(command)}: ${state} ${scanned}/${matched}/${moved}`);
      const { model } = site;
      const movable = model.all().filter((one) => one.state !== "leased" && one.state !== "parked").length;
      check(total === movable, "redrive", () => `${total} messages were there, must be ${movable}`);
      check(startedMs === model.clockMs, "redrive", () => `it began at ${startedMs}`);
      const listed = task === null ? before : [answer.value, ...before].slice(0, 100);
      const [is, must] = [JSON.stringify(after), JSON.stringify(listed)];
      check(is === must, "redrive", () => `the list is ${is}, must be ${must}`);
      if (task !== null) site.tasks.set(task, command);
    },
  });
}

export function resumeKey(
  world: World,
  site: Site,
  key: string,
  action: "retry" | "skip" | "drain",
  random: Random,
): void {
  world.turn({
    site,
    random,
    isDrain: action === "drain",
    work: (queue) => queue.resumeKey(key, action, world.nowMs),
    apply: (answer) => {
      const { model } = site;
      const parked = model.all().filter((one) => one.key === key && one.state === "parked");
      world.log(`${site.name} key ${key} ${action}: ${answer.ok ? answer.value.messages : answer.code}`);
      check(answer.ok === parked.length > 0, "resume", () => JSON.stringify(answer));
      for (const message of parked) {
        if (action === "retry") model.bringBack(message);
        else model.bury(message, message.parkedFor);
      }
      if (action === "drain" && parked.length > 0) model.drain(key);
    },
  });
}
