/**
 * A work queue under real conditions. Seven thousand airports go through competing consumers, two of which are
 * killed in the middle and all of which fail now and then. Dead letters are looked at, the code is mended, and what
 * can be saved is redriven. At the end every message must be accounted for; if not, the exit code is 1.
 *
 *   --map           shows it live on a map in a browser, and goes on serving it until Ctrl-C
 *   --pace N        publishes N airports a second; with --map 300, else as fast as it goes
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { connect, type Client, type Queue } from "../../src/client/index.ts";
import { loadAirports, topicOf, type Airport } from "./airports.ts";
import { startBroker } from "./broker.ts";
import { Crew } from "./crew.ts";
import { serveMap } from "../map/serve.ts";
import { Screen } from "./screen.ts";

const PATIENCE_MS = 180_000;
/** Where dead letters go, by way of which the map hears of them too. */
const GRAVES = "airports.graves";
const EVENTS = "airports.events";

const { values: options } = parseArgs({
  options: { map: { type: "boolean", default: false }, pace: { type: "string" } },
});
const pace = Number(options.pace ?? (options.map ? 300 : Number.POSITIVE_INFINITY));

const screen = new Screen();
const say = (text: string): void => screen.say(text);

async function main(): Promise<boolean> {
  say("Starting the broker under workerd …");
  const broker = await startBroker();
  const client = connect({ url: broker.url });
  const crew = new Crew(broker.url, say, options.map ? ["--events", EVENTS] : []);
  try {
    if (options.map) say(`\nOpen ${await serveMap(broker.url, EVENTS)} in a browser.\n`);
    const isRight = await play(client, crew);
    if (options.map) await sleepUntilInterrupted();
    return isRight;
  } finally {
    crew.kill();
    client.close();
    await broker.stop();
  }
}

async function sleepUntilInterrupted(): Promise<void> {
  say("\nThe map stays until Ctrl-C.");
  await new Promise<void>((resolve) => process.once("SIGINT", () => resolve()));
}

async function play(client: Client, crew: Crew): Promise<boolean> {
  const dead = client.queue("airports.dead");
  const queue = client.queue("airports");
  await dead.declare();
  await declareExchanges(client);
  await queue.declare({
    leaseMs: 20_000,
    maxFailures: 2,
    retry: { kind: "exponential", baseMs: 200, maxMs: 2_000, jitter: 0.2 },
    deadLetter: { exchange: GRAVES },
  });

  const airports = loadAirports();
  say(`Publishing ${airports.length} airports, and working them off with five consumers.`);
  say("Two will be killed in the middle; one call in forty fails; some records are incomplete.\n");
  const sending = publishAll(queue, airports);
  for (const name of ["ada", "bob", "cyd"]) crew.hire(name);
  crew.hire("dot", ["--crash-after", "300"]);
  crew.hire("eve", ["--crash-after", "700"]);
  const published = await watch(sending, queue, dead);
  const ids = published.map(({ id }) => id);
  await settled(queue, dead);

  await lookAtDead(dead);
  await crew.dismiss();
  await redrive(dead);
  for (const name of ["fay", "gil", "hal"]) crew.hire(name, ["--guess-zones"]);
  await settled(queue, dead);
  await crew.dismiss();
  return account(ids, crew, queue, dead);
}

/** Dead letters go through an exchange to their queue; the events' exchange is bound to it and tells of them too. */
async function declareExchanges(client: Client): Promise<void> {
  await client.exchange(GRAVES).declare({ kind: "fanout" });
  // The last event of each airport is the map as it stands, for whoever opens it later.
  await client.exchange(EVENTS).declare({
    lastValuesMax: 10_000,
    history: { eventsMax: 20_000, ageMs: null },
    presence: true,
  });
  await client.exchange(GRAVES).bind({ queue: "airports.dead" });
  await client.exchange(GRAVES).bind({ exchange: EVENTS });
}

async function publishAll(queue: Queue, airports: readonly Airport[]): Promise<{ id: string }[]> {
  const messages = airports.map((airport) => ({ body: airport, routingKey: topicOf(airport) }));
  if (pace === Number.POSITIVE_INFINITY) return queue.publishMany(messages);
  const published: { id: string }[] = [];
  const part = Math.max(1, Math.round(pace / 10));
  for (let at = 0; at < messages.length; at += part) {
    published.push(...(await queue.publishMany(messages.slice(at, at + part))));
    await sleep((part / pace) * 1_000);
  }
  return published;
}

async function lookAtDead(dead: Queue): Promise<void> {
  const { counts } = await dead.inspect();
  say(`\n${counts.ready} messages are dead. Each carries the log of its attempts, for example:`);
  const { messages } = await dead.peek({ state: "ready", limit: 1 });
  for (const { id, routingKey, death } of messages) {
    const { reason, log } = death as {
      reason: string;
      log: { attempt: number; consumer: string; error?: string }[];
    };
    say(`  ${routingKey} (${id}), ${reason}:`);
    for (const { attempt, consumer, error } of log)
      say(`    attempt ${attempt} by ${consumer}: ${error ?? "lost"}`);
  }
}

/** The operator mends the code for airports without a time zone, and brings back those, not the others. */
async function redrive(dead: Queue): Promise<void> {
  const filter = { errorIncludes: "no time zone" };
  const dry = await dead.redrive({ filter, dryRun: true });
  say(
    `\nThe code can now guess a time zone. A dry run finds ${dry.matched} of ${dry.scanned} that this helps.`,
  );
  const { task } = await dead.redrive({ filter, dryRun: false });
  let status = await dead.redriveStatus(task!);
  while (status.state === "running") {
    await sleep(100);
    status = await dead.redriveStatus(task!);
  }
  say(`Redriven: ${status.moved}. Three consumers run the mended code.\n`);
}

/** Shows progress while something goes on. */
async function watch<T>(work: Promise<T>, queue: Queue, dead: Queue): Promise<T> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await progress(queue, dead);
    await Promise.race([done, sleep(250)]);
  }
  return done;
}

async function progress(queue: Queue, dead: Queue): Promise<number> {
  const [work, graves] = await Promise.all([queue.inspect(), dead.inspect()]);
  const { ready, leased, delayed, deadLettering } = work.counts;
  const unfinished = ready + leased + delayed + deadLettering + graves.counts.deadLettering;
  const now = {
    published: work.totals.published - graves.totals.redriven,
    acked: work.totals.acked,
    dead: graves.counts.ready,
    waiting: ready,
    retrying: delayed,
    leased,
    consumers: work.consumers.length,
  };
  screen.show(now, unfinished === 0);
  return unfinished;
}

/** Until nothing waits, is out, backs off or is on its way to the dead letters. */
async function settled(queue: Queue, dead: Queue): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while ((await progress(queue, dead)) > 0) {
    if (Date.now() > deadline) throw new Error("the queue did not come to rest");
    await sleep(250);
  }
}

async function account(ids: readonly string[], crew: Crew, queue: Queue, dead: Queue): Promise<boolean> {
  const graves = await idsOf(dead);
  const unique = new Set(ids);
  const twice = [...crew.acks.values()].filter((count) => count > 1).length;
  const lost = ids.filter((id) => !crew.acks.has(id) && !graves.has(id)).length;
  const both = [...graves].filter((id) => crew.acks.has(id)).length;
  const strange = [...crew.acks.keys(), ...graves].filter((id) => !unique.has(id)).length;
  const { totals } = await queue.inspect();
  const isRight =
    unique.size === ids.length &&
    twice + lost + both + strange === 0 &&
    ids.length === crew.acks.size + graves.size &&
    totals.acked === crew.acks.size;
  say("\nThe account");
  say(`  published and confirmed  ${ids.length}`);
  say(`  acked                    ${crew.acks.size}   (the broker says ${totals.acked})`);
  say(`  still dead               ${graves.size}`);
  say(`  lost                     ${lost}`);
  say(`  acked twice              ${twice}`);
  say(
    `  along the way: ${crew.failures} failures, ${crew.crashes} consumers killed, ${totals.deadLettered} dead letters`,
  );
  say(
    isRight
      ? `\n✓ ${ids.length} = ${crew.acks.size} + ${graves.size}: it adds up.`
      : "\n✗ It does not add up.",
  );
  return isRight;
}

async function idsOf(dead: Queue): Promise<Set<string>> {
  const ids = new Set<string>();
  let cursor: string | undefined;
  do {
    const page = await dead.peek({ state: "ready", limit: 100, ...(cursor === undefined ? {} : { cursor }) });
    for (const { id } of page.messages) ids.add(id);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return ids;
}

process.exitCode = (await main()) ? 0 : 1;
