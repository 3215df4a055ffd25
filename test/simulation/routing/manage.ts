// What an operator asks of the broker: it is done, refused or in doubt, and the model is told which.
import type { Binding } from "../../../src/protocol/exchange-commands.ts";
import type { Result } from "../../../src/protocol/result.ts";
import { destinationKey } from "../../../src/routing/explain.ts";
import { check } from "../checkers.ts";
import { Span, type ModelBinding } from "./model.ts";
import type { RoutingWorld } from "./world.ts";

/** Refusals after which part of it may be done. */
const IN_DOUBT = new Set(["unavailable", "internal"]);

/** How long a call may be on its way after its caller has given up, or is no more. */
const HAUNTED_MS = 120_000;

type Answer<T> =
  { readonly is: "done"; readonly value: T } | { readonly is: "refused" | "doubt"; readonly code: string };

async function ask<T>(world: RoutingWorld, what: string, call: () => Promise<Result<T>>): Promise<Answer<T>> {
  let answer: Answer<T>;
  try {
    const result = await call();
    if (result.ok) answer = { is: "done", value: result.value };
    else answer = { is: IN_DOUBT.has(result.code) ? "doubt" : "refused", code: result.code };
  } catch (error) {
    answer = { is: "doubt", code: String(error) };
  }
  world.say(`${what}: ${answer.is === "done" ? "done" : answer.code}`);
  return answer;
}

function spansOf(world: RoutingWorld, kind: "exchange" | "queue", name: string): Span[] {
  const { exchanges, queues } = world.model;
  if (kind === "exchange") {
    const known = exchanges.get(name) ?? { config: world.exchangeConfig(name), spans: [] };
    exchanges.set(name, known);
    return known.spans;
  }
  const spans = queues.get(name) ?? [];
  queues.set(name, spans);
  return spans;
}

export async function declare(world: RoutingWorld, kind: "exchange" | "queue", name: string): Promise<void> {
  const { model, cluster } = world;
  const spans = spansOf(world, kind, name);
  const known = model.current(spans);
  // One that may be going may be made anew by this.
  const span =
    known !== null && known.surelyUntil === Number.POSITIVE_INFINITY ? known : new Span(model.now());
  if (span !== known) spans.push(span);
  const answer = await ask<unknown>(world, `declare ${kind} ${name}`, async () =>
    kind === "exchange"
      ? cluster.exchange(name).declare(world.exchangeConfig(name))
      : cluster.queue(name).declare(world.queueConfig(name)),
  );
  // An exchange that may go by itself is never sure to be there.
  const isFirm = kind === "queue" || !world.exchangeConfig(name).autoDelete;
  if (answer.is === "done" && isFirm) span.isMade(model.now());
  if (answer.is === "refused" && span !== known) span.isGone(span.from);
}

export async function remove(world: RoutingWorld, kind: "exchange" | "queue", name: string): Promise<void> {
  const { model, cluster } = world;
  const spans = spansOf(world, kind, name);
  const start = model.now();
  const led = kind === "exchange" ? model.bindingsOf({ exchange: name }) : model.bindingsOf({ queue: name });
  const going = [...led, ...(kind === "exchange" ? model.bindingsOf({ from: name }) : [])];
  const things = [
    ...going.map(({ span }) => span),
    ...spans.filter((span) => span.until === Number.POSITIVE_INFINITY),
  ];
  for (const span of things) span.isGoing(start);
  const answer = await ask<unknown>(world, `remove ${kind} ${name}`, async () =>
    kind === "exchange"
      ? cluster.exchange(name).remove({ ifUnused: false })
      : cluster.queue(name).remove({ ifEmpty: false, ifUnused: false }),
  );
  const isGone = answer.is === "done" || (answer.is === "refused" && answer.code.endsWith("_not_found"));
  if (answer.is === "doubt") world.haunted.set(`${kind}:${name}`, world.loop.nowMs + HAUNTED_MS);
  const end = model.now();
  if (isGone) for (const span of things) if (span.surelyFrom < start) span.isGone(end);
  // What was made meanwhile may be gone as well, or lead to the next of the name.
  const since = [...model.bindingsOf(kind === "exchange" ? { exchange: name } : { queue: name })];
  if (kind === "exchange") since.push(...model.bindingsOf({ from: name }));
  for (const { span } of since) span.isGoing(start);
}

export async function bind(world: RoutingWorld, from: string, binding: Binding): Promise<void> {
  const { model, cluster } = world;
  const wanted = identityOf(from, binding);
  const known = model.bindings.find(
    (one) => identityOf(one.from, one) === wanted && one.span.until === Number.POSITIVE_INFINITY,
  );
  if (known !== undefined && known.span.surelyUntil === Number.POSITIVE_INFINITY && known.id !== null) return;
  const made: ModelBinding = { ...binding, from, span: new Span(model.now()), id: null };
  model.bindings.push(made);
  const shown = `bind ${from} → ${destinationKey(binding.destination)} "${binding.key.slice(0, 9)}"`;
  const answer = await ask(world, shown, () => cluster.exchange(from).bind(binding));
  if (answer.is === "done") {
    // What leads from or to an exchange that may go by itself goes with it.
    const ends = [from, ...("exchange" in binding.destination ? [binding.destination.exchange] : [])];
    const isFirm = !ends.some((name) => world.exchangeConfig(name).autoDelete);
    if (isFirm && !isHaunted(world, from, binding)) made.span.isMade(model.now());
    made.id = answer.value.binding.id;
  } else if (answer.is === "refused") made.span.isGone(made.span.from);
}

export async function unbind(world: RoutingWorld, binding: ModelBinding): Promise<void> {
  const { model, cluster } = world;
  const start = model.now();
  binding.span.isGoing(start);
  const shown = `unbind ${binding.from} → ${destinationKey(binding.destination)} "${binding.key.slice(0, 9)}"`;
  const answer = await ask(world, shown, () => cluster.exchange(binding.from).unbind(binding.id!));
  if (answer.is === "done") {
    const same = identityOf(binding.from, answer.value);
    // Ids begin anew with another exchange of the name, and a call may come late.
    const isAnother = spansOf(world, "exchange", binding.from).length > 1;
    const isRight = same === identityOf(binding.from, binding) || isAnother;
    check(isRight, "unbind", () => `${shown} took away another: ${JSON.stringify(answer.value)}`);
    for (const one of model.bindings) {
      if (identityOf(one.from, one) === same) one.span.isGoing(start);
    }
  }
  if (answer.is !== "doubt") binding.span.isGone(model.now());
  else world.haunted.set(identityOf(binding.from, binding), world.loop.nowMs + HAUNTED_MS);
}

/** What takes it away may have been asked for earlier, and be done later. */
function isHaunted(world: RoutingWorld, from: string, binding: Binding): boolean {
  const names = [`exchange:${from}`, destinationKey(binding.destination), identityOf(from, binding)];
  return names.some((name) => (world.haunted.get(name) ?? 0) > world.loop.nowMs);
}

export function identityOf(from: string, { destination, key, headers }: Binding): string {
  return JSON.stringify([from, destinationKey(destination), key, headers]);
}
