/** The built SDK in a real browser, over a network that is cut and mended. */
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { createTestHarness } from "wrangler";
import { connect, type Client } from "../../src/client/index.ts";
import { SECRET, tokenWith } from "../support/token.ts";
import { tcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { servePage, type PageServer } from "./page.ts";

type Millrace = typeof import("../../src/client/index.ts");

/** What a page keeps for the test to look at. */
interface PageState {
  readonly millrace: Millrace;
  client: Client;
  readonly topics: string[];
  readonly told: string[];
}
/** In functions that run in the page. */
declare const window: PageState;

const FLAGS =
  "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
const server = createTestHarness({
  workers: [{ configPath: "../../wrangler.toml", vars: { MILLRACE_SECRET: SECRET } }],
  root: import.meta.dirname,
});
let browser: Browser;
let pages: PageServer;
let wire: TcpProxy;
let admin: Client;
let page: Page;
let exchangeCount = 0;

beforeAll(async () => {
  const broker = (await server.listen()).url.href.replace(/\/$/, "");
  [wire, pages] = await Promise.all([tcpProxy(broker), servePage()]);
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS.split(" ") });
  const everything = ["publish", "consume", "subscribe", "manage"] as const;
  const token = await tokenWith(everything.map((verb) => ({ verb, pattern: "#" })));
  admin = connect({ url: broker, token });
});
afterAll(async () => {
  admin.close();
  await browser.close();
  await Promise.all([wire.close(), pages.close(), server.close()]);
});
beforeEach(async () => {
  wire.mend();
  page = await (await browser.newContext()).newPage();
  await page.goto(pages.url);
  await page.waitForFunction(() => "millrace" in window);
});

/** The page connects with a token that may do no more than these. */
async function connectPage(grants: Parameters<typeof tokenWith>[0], subject = "page"): Promise<void> {
  const token = await tokenWith(grants, { subject });
  await page.evaluate(
    ({ url, token: own }) => {
      const reconnect = { baseMs: 20, maxMs: 200 };
      const client = window.millrace.connect({ url, token: own, reconnect, heartbeatMs: 2_000 });
      Object.assign(window, { client, topics: [], told: [] });
    },
    { url: wire.url, token },
  );
}

async function subscribePage(exchange: string, pattern: string): Promise<void> {
  await page.evaluate(
    async ([name, wanted]) => {
      const { client, topics, told } = window;
      const subscription = client
        .exchange(name!)
        .subscribe(wanted!, (event) => void topics.push(event.topic), {
          onGap: ({ reason }) => void told.push(`gap ${reason}`),
          onRecovered: () => void told.push("recovered"),
        });
      await subscription.ready;
    },
    [exchange, pattern],
  );
}

async function freshExchange(eventsMax: number): Promise<string> {
  const name = `browser-${++exchangeCount}`;
  await admin.exchange(name).declare({ history: { eventsMax, ageMs: null } });
  return name;
}

async function publish(exchange: string, topics: readonly string[]): Promise<void> {
  await Promise.all(topics.map((topic) => admin.exchange(exchange).publish(topic, topic)));
}

const seen = (): Promise<{ topics: string[]; told: string[] }> =>
  page.evaluate(() => ({ topics: window.topics, told: window.told }));

it("gets what its token allows of a wider pattern, and what it missed while the network was cut", async () => {
  const exchange = await freshExchange(1_000);
  await connectPage([{ verb: "subscribe", pattern: "orders.eu.*" }]);
  await subscribePage(exchange, "orders.eu.#");
  await publish(exchange, ["orders.eu.1", "orders.us.1", "orders.eu.2.detail", "orders.eu", "orders.eu.2"]);
  await expect.poll(async () => (await seen()).topics).toEqual(["orders.eu.1", "orders.eu.2"]);

  wire.cut();
  await publish(exchange, ["orders.eu.3", "orders.us.3", "orders.eu.4"]);
  wire.mend();
  await expect
    .poll(async () => (await seen()).topics.slice(2), { timeout: 20_000 })
    .toEqual(["orders.eu.3", "orders.eu.4"]);
  expect((await seen()).told).toEqual(["recovered"]);

  await publish(exchange, ["orders.eu.5"]);
  await expect.poll(async () => (await seen()).topics.slice(4)).toEqual(["orders.eu.5"]);
});

it("is told of a gap when more was missed than is kept", async () => {
  const exchange = await freshExchange(2);
  await connectPage([{ verb: "subscribe", pattern: "orders.#" }]);
  await subscribePage(exchange, "orders.#");
  await publish(exchange, ["orders.1"]);
  await expect.poll(async () => (await seen()).topics).toEqual(["orders.1"]);

  wire.cut();
  for (const topic of ["orders.2", "orders.3", "orders.4", "orders.5"]) await publish(exchange, [topic]);
  wire.mend();
  await expect.poll(async () => (await seen()).told, { timeout: 20_000 }).toEqual(["gap expired"]);
  await expect.poll(async () => (await seen()).topics).toEqual(["orders.1", "orders.4", "orders.5"]);
});

it("is refused what its token does not allow, with the reason", async () => {
  const exchange = await freshExchange(0);
  await connectPage([{ verb: "subscribe", pattern: "orders.eu.*" }]);
  const refused = await page.evaluate(async (name) => {
    const subscription = window.client.exchange(name).subscribe("invoices.#", () => undefined);
    return subscription.ready.then(
      () => null,
      (error: unknown) => (window.millrace.isMillraceError(error) ? error.code : String(error)),
    );
  }, exchange);
  expect(refused).toBe("forbidden");
});

it("serves calls from elsewhere, and calls what others serve", async () => {
  await connectPage([
    { verb: "consume", pattern: "page.sum" },
    { verb: "manage", pattern: "page.sum" },
    { verb: "publish", pattern: "node.upper" },
  ]);
  await page.evaluate(async () => {
    const service = window.client.serve("page.sum", (request) => {
      const numbers = request.json() as number[];
      return { sum: numbers.reduce((sum, number) => sum + number, 0) };
    });
    await service.ready;
  });
  const service = admin.serve("node.upper", (request) => request.text().toUpperCase());
  await service.ready;

  const reply = await admin.call("page.sum", [1, 2, 3]);
  expect(reply.json()).toEqual({ sum: 6 });
  const answered = await page.evaluate(async () => (await window.client.call("node.upper", "edge")).text());
  expect(answered).toBe("EDGE");
  await service.stop();
});

it("calls nobody and is told so at once", async () => {
  await connectPage([{ verb: "publish", pattern: "nobody" }]);
  const code = await page.evaluate(async () =>
    window.client.call("nobody", "?", { timeoutMs: 60_000 }).then(
      () => null,
      (error: unknown) => (window.millrace.isMillraceError(error) ? error.code : String(error)),
    ),
  );
  expect(code).toBe("no_responders");
});
