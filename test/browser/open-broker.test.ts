// A developer's open broker, and who must not reach it: requests with raw headers, and pages in a real browser.
import { request } from "node:http";
import { chromium, type Browser, type Page } from "playwright-core";
import { createTestHarness } from "wrangler";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { servePage, type PageServer } from "./page.ts";

const EVIL = "evil.example";
// The name was rebound: it leads to loopback.
const FLAGS = `--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync --host-resolver-rules=MAP\\ ${EVIL}\\ 127.0.0.1`;
const server = createTestHarness({
  workers: [{ configPath: "../../wrangler.toml" }],
  root: import.meta.dirname,
});
let browser: Browser;
let pages: PageServer;
let port = 0;

const own = (path: string): string => `http://localhost:${port}${path}`;
const rebound = (path: string): string => `http://${EVIL}:${port}${path}`;
const QUEUE = "/v1/queues/orders";

beforeAll(async () => {
  const [{ url }, page] = await Promise.all([server.listen(), servePage()]);
  port = Number(url.port);
  pages = page;
  const args = FLAGS.split(/(?<!\\) /).map((flag) => flag.replaceAll("\\ ", " "));
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
  expect((await fetch(own(QUEUE), { method: "PUT" })).status).toBe(201);
});
afterAll(async () => {
  await browser.close();
  await Promise.all([pages.close(), server.close()]);
});

interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** The status; unlike fetch it lets every header be set. */
function send({ method = "GET", path = QUEUE, headers = {}, body }: Sent): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, method, path, headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    sent.on("upgrade", (_response, socket) => {
      socket.destroy();
      resolve(101);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function published(): Promise<number> {
  const info = (await (await fetch(own(QUEUE))).json()) as { totals: { published: number } };
  return info.totals.published;
}

const SOCKET = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13" };
const KEY = { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
const CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36";

describe("an open broker takes", () => {
  it.each<[string, Sent]>([
    ["curl", { headers: { "User-Agent": "curl/8.5.0" } }],
    ["a program", { headers: { "Accept-Language": "*", "Sec-Fetch-Mode": "cors", "User-Agent": "node" } }],
    ["an address typed into a browser", { headers: { "User-Agent": CHROME, "Sec-Fetch-Site": "none" } }],
    ["its own page", { headers: { "User-Agent": CHROME, "Sec-Fetch-Site": "same-origin" } }],
    ["a page of loopback", { headers: { Origin: "http://localhost:3000", "Sec-Fetch-Site": "same-site" } }],
  ])("%s", async (_who, sent) => {
    expect(await send(sent)).toBe(200);
  });
});

describe("an open broker refuses", () => {
  const text = { method: "POST", path: `${QUEUE}/messages`, body: "x" };
  const TYPE = { "Content-Type": "text/plain" };
  const query = "/?Action=CreateQueue&QueueName=made";
  it.each<[string, number, Sent]>([
    ["a name that leads to loopback", 401, { headers: { Host: EVIL } }],
    ["a caller from elsewhere", 401, { headers: { "CF-Connecting-IP": "203.0.113.7" } }],
    [
      "a rebound name whose page says that it is loopback",
      403,
      {
        headers: { Host: EVIL, "MF-Original-URL": "http://localhost/v1/queues/orders", "User-Agent": CHROME },
      },
    ],
    [
      "a rebound name whose page publishes",
      403,
      {
        ...text,
        headers: {
          Host: EVIL,
          "MF-Original-URL": `http://localhost${text.path}`,
          Origin: `http://${EVIL}`,
          ...TYPE,
        },
      },
    ],
    [
      "a simple request of a page elsewhere",
      403,
      { ...text, headers: { Origin: `http://${EVIL}`, ...TYPE } },
    ],
    ["a form of a sandboxed page", 403, { ...text, headers: { Origin: "null", ...TYPE } }],
    ["a read of a page elsewhere", 403, { headers: { Origin: `http://${EVIL}` } }],
    [
      "a picture on a page elsewhere",
      403,
      { headers: { "User-Agent": CHROME, "Sec-Fetch-Site": "cross-site" } },
    ],
    [
      "a socket of a page elsewhere",
      403,
      { path: "/v1/socket", headers: { ...SOCKET, ...KEY, Origin: `http://${EVIL}` } },
    ],
    [
      "a caller that only says that it is near",
      401,
      { headers: { Host: EVIL, "CF-Connecting-IP": "127.0.0.1", Authorization: "Bearer x" } },
    ],
    ["a GET that changes something", 403, { path: query }],
    ["such a GET with any signature", 403, { path: query, headers: { Authorization: "AWS4-HMAC-SHA256 x" } }],
  ])("%s", async (_what, status, sent) => {
    expect(await send(sent)).toBe(status);
    expect(await published()).toBe(0);
  });

  it("a socket to no page of loopback", async () => {
    const headers = { ...SOCKET, ...KEY, Origin: "http://localhost:3000" };
    expect(await send({ path: "/v1/socket", headers })).toBe(101);
  });
});

/** What a page tries, in the page: the text that it read, or why it read none. */
interface Tried {
  readonly read: string;
  readonly readAsLoopback: string;
  readonly wrote: string;
  readonly socket: string;
}

async function attack(page: Page, base: string): Promise<Tried> {
  return page.evaluate(async (at) => {
    const outcome = (asked: Promise<Response>): Promise<string> =>
      asked.then(
        async (response) => (response.ok ? await response.text() : `refused ${response.status}`),
        () => "failed",
      );
    const asLoopback = {
      headers: { "MF-Original-URL": "http://localhost/v1/queues/orders", "User-Agent": "curl" },
    };
    const socket = new WebSocket(`${at.replace("http", "ws")}/v1/socket`);
    const opened = new Promise<string>((resolve) => {
      socket.addEventListener("open", () => resolve("open"));
      socket.addEventListener("error", () => resolve("failed"));
    });
    return {
      read: await outcome(fetch(`${at}/v1/queues/orders`)),
      readAsLoopback: await outcome(fetch(`${at}/v1/queues/orders`, asLoopback)),
      wrote: await outcome(
        fetch(`${at}/v1/queues/orders/messages`, {
          method: "POST",
          body: "x",
          mode: "no-cors",
        } as RequestInit),
      ),
      socket: await opened,
    };
  }, base);
}

describe("what a browser is told", () => {
  const told = async (path: string): Promise<Headers> => (await fetch(own(path))).headers;

  it.each([QUEUE, "/v1/nothing", "/openapi.json", "/health", "/?Action=ListQueues&Version=2012-11-05"])(
    "of %s: it is no page",
    async (path) => {
      const headers = await told(path);
      expect(headers.get("Content-Security-Policy")).toBe(
        "default-src 'none'; frame-ancestors 'none'; sandbox",
      );
      expect(headers.get("X-Content-Type-Options")).toBe("nosniff");
      expect(headers.get("Referrer-Policy")).toBe("no-referrer");
    },
  );

  it.each(["/", "/docs/", "/docs/errors/"])("of the page %s: it is in no frame", async (path) => {
    const headers = await told(path);
    expect(headers.get("Content-Security-Policy")).toMatch(/^default-src 'self';.*frame-ancestors 'none'$/);
    expect(headers.get("X-Content-Type-Options")).toBe("nosniff");
  });

  it("leaves the reference a page that works", async () => {
    const page = await (await browser.newContext()).newPage();
    const blocked: string[] = [];
    page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) blocked.push(message.text());
    });
    await page.goto(own("/docs/"));
    await page.getByText("Queues that lose nothing").first().waitFor();
    expect(blocked).toEqual([]);
  });
});

describe("in a real browser", () => {
  it("a page of another origin neither reads nor writes, and opens no socket", async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(pages.url.replace(/\/\/[^:/]+/, `//${EVIL}`));
    const tried = await attack(page, `http://127.0.0.1:${port}`);
    expect(tried).toMatchObject({ read: "failed", readAsLoopback: "failed", socket: "failed" });
    expect(await published()).toBe(0);
  });

  it("nor does a page whose name was rebound to the broker itself", async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(rebound("/"));
    const tried = await attack(page, rebound("").replace(/\/$/, ""));
    expect(tried).toEqual({
      read: "refused 401",
      readAsLoopback: "refused 403",
      wrote: "refused 401",
      socket: "failed",
    });
    expect(await published()).toBe(0);
  });

  it("the broker's own page does", async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(own("/"));
    const tried = await attack(page, `http://localhost:${port}`);
    expect(tried.read).toContain('"queue":"orders"');
    expect(tried.socket).toBe("open");
  });
});
