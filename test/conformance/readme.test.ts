// README from its top to its bottom as one session: once on an open broker, once on one that has a secret.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestHarness } from "wrangler";
import { link } from "../support/package-link.ts";

const ROOT = join(import.meta.dirname, "../..");
const readme = readFileSync(join(ROOT, "README.md"), "utf8");
const SECRET = "0f9d3c5b-6a51-4be5-8f0e-a35cbd9d8a1f";

/** A block's text by its language and by something it has in it. */
function block(language: string, holds: string): string {
  const blocks = [...readme.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, "g"))].map(
    (match) => match[1]!,
  );
  const found = blocks.filter((text) => text.includes(holds));
  expect(found, `blocks of ${language} with ${holds}`).toHaveLength(1);
  return found[0]!;
}

function commandsOf(text: string): string[] {
  const lines = text.replaceAll("\\\n", " ").split("\n");
  return lines.filter((line) => line !== "" && !line.startsWith("#"));
}

const TOKENS = commandsOf(block("sh", "alias curl"));
const CURL = commandsOf(block("sh", "/receive"));
const EXCHANGE = commandsOf(block("sh", "/explain"));
const [OPEN_KEYS, SECRET_KEYS] = commandsOf(block("sh", "AWS_ACCESS_KEY_ID")) as [string, string];
const DEPLOY = commandsOf(block("sh", "wrangler login"));

/** A shell in which the page's commands are typed. */
class Terminal {
  readonly env: Record<string, string> = {};
  private readonly url: string;
  private setUp = TOKENS.slice(0, 0);

  constructor(url: string) {
    this.url = url;
  }

  /** The page's way to a token: the first command makes it, the second has curl send it. */
  async authorize(secret: string): Promise<void> {
    this.env["MILLRACE_SECRET"] = secret;
    const [make, ...use] = TOKENS;
    this.env["TOKEN"] = (await this.run('echo "$TOKEN"', make!)).trim();
    this.setUp = use;
  }

  /** What the page says to set first, then the command. */
  async run(command: string, ...first: readonly string[]): Promise<string> {
    const lines = ["shopt -s expand_aliases", ...this.setUp, ...first, command];
    const { stdout } = await promisify(execFile)(
      "bash",
      ["-ec", lines.map((line) => this.here(line)).join("\n")],
      {
        cwd: ROOT,
        env: { ...process.env, ...this.env },
      },
    );
    return stdout;
  }

  async curl(command: string, options = "--fail-with-body"): Promise<unknown> {
    return JSON.parse(await this.run(command.replace(/^curl /, `curl -sS ${options} `)));
  }

  here(text: string): string {
    return text
      .replaceAll("http://localhost:8787", this.url)
      .replaceAll("https://broker.example.com", this.url);
  }
}

/** A program of the page, in a project that has the package. */
class Program {
  private readonly child: ChildProcess;
  private readonly lines: string[] = [];
  private said = "";

  constructor(folder: string, name: string, text: string, env: Record<string, string>) {
    writeFileSync(join(folder, `${name}.ts`), text);
    const args = ["--disable-warning=ExperimentalWarning", `${name}.ts`];
    this.child = spawn(process.execPath, args, {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    createInterface(this.child.stdout!).on("line", (line) => this.lines.push(line));
    this.child.stderr!.on("data", (chunk: Buffer) => (this.said += chunk.toString()));
  }

  async says(words: string): Promise<void> {
    await expect.poll(() => `${this.lines.join("\n")}${this.said}`, { timeout: 30_000 }).toContain(words);
  }

  async end(signal: "SIGINT" | "SIGKILL"): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill(signal);
    expect(await ended, this.said).toEqual(signal === "SIGINT" ? [0, null] : [null, signal]);
  }
}

describe.each([
  ["on an open broker", null],
  ["on a broker with a secret", SECRET],
])("README %s", (_where, secret) => {
  const server = createTestHarness({
    workers: [
      {
        configPath: join(ROOT, "wrangler.toml"),
        ...(secret === null ? {} : { vars: { MILLRACE_SECRET: secret } }),
      },
    ],
  });
  const folder = mkdtempSync(join(tmpdir(), "millrace-readme-"));
  let terminal: Terminal;
  let url = "";

  beforeAll(async () => {
    link(ROOT, folder);
    url = (await server.listen()).url.origin;
    terminal = new Terminal(url);
    if (secret !== null) await terminal.authorize(secret);
  });
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("works with curl", async () => {
    const [declare, publish, receive, settle, look, ...rest] = CURL as [
      string,
      string,
      string,
      string,
      string,
    ];
    expect(rest).toEqual([]);
    expect(await terminal.curl(declare)).toMatchObject({ queue: "orders" });
    expect(await terminal.curl(publish)).toMatchObject({ ids: [expect.any(String)] });
    const { messages } = (await terminal.curl(receive)) as { messages: { receipt: string; body: string }[] };
    expect(messages).toMatchObject([{ body: "one espresso" }]);
    const settled = await terminal.curl(settle.replace("<receipt>", messages[0]!.receipt));
    expect(settled).toMatchObject({ results: [{ ok: true }] });
    expect(await terminal.curl(look)).toMatchObject({
      counts: { ready: 0, leased: 0 },
      totals: { acked: 1 },
    });
  });

  it("leads a message through an exchange, and tells it to who listens", async () => {
    const [declare, bind, publish, explain, follow, ...rest] = EXCHANGE as [
      string,
      string,
      string,
      string,
      string,
    ];
    expect(rest).toEqual([]);
    expect(await terminal.curl(declare)).toMatchObject({ exchange: "shop" });
    expect(await terminal.curl(bind)).toMatchObject({ destination: { queue: "orders" } });
    expect(await terminal.curl(publish)).toMatchObject({ matched: [1] });
    expect(await terminal.curl(explain)).toMatchObject({ destinations: [{ queue: "orders" }] });
    // The stream has no end: curl is told to leave.
    const heard = await terminal.run(`${follow.replace(/^curl /, "curl -sS -m 3 ")} || true`);
    expect(heard).toContain('"body":"one ristretto"');
  });

  it("names the address where the reference is", async () => {
    expect(readme).toContain("http://localhost:8787/docs/");
    const page = await fetch(`${url}/docs/`);
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toContain("text/html");
    const openapi = (await (await fetch(`${url}/openapi.json`)).json()) as { openapi: string };
    expect(openapi.openapi).toMatch(/^3\.1/);
  });

  it("works from code, and asks and answers", async () => {
    const text = [
      block("ts", "kitchen.consume"),
      "const priceOf = (drink: unknown) => JSON.stringify(drink).length;",
      block("ts", "client.serve"),
      'console.log("ready");',
    ].join("\n");
    const program = new Program(folder, "code", terminal.here(text), terminal.env);
    try {
      await program.says("brewing { drink: 'espresso' }");
      await program.says("{ price: 20 }");
      await program.says("ready");
      await program.end("SIGINT");
    } finally {
      await program.end("SIGKILL");
    }
  });

  it("publishes and subscribes, as a browser does", async () => {
    const text = [
      'import { connect } from "millrace/client";',
      "const fetchToken = async () => process.env.TOKEN;",
      "const show = (topic: string, event: unknown) => console.log(topic, event);",
      "const [hideWarning, reload] = [console.log, console.log];",
      block("ts", "hideWarning"),
    ].join("\n");
    const program = new Program(folder, "browser", terminal.here(text), terminal.env);
    try {
      await program.says("orders.eu.created { drink: 'espresso' }");
    } finally {
      await program.end("SIGKILL");
    }
  });

  it("serves clients of Amazon SQS", async () => {
    writeFileSync(join(folder, "sqs.py"), `${terminal.here(block("py", "boto3"))}\nprint(url)`);
    const keys = secret === null ? OPEN_KEYS : SECRET_KEYS;
    const shown = await terminal.run(`/usr/bin/python3 ${join(folder, "sqs.py")}`, keys);
    expect(shown.trim()).toBe(`${url}/000000000000/orders.fifo`);
    const counts = await terminal.curl("curl http://localhost:8787/v1/queues/orders.fifo");
    expect(counts).toMatchObject({ counts: { ready: 1 } });
  });

  it("makes a token for a deployment with which the code above runs", async () => {
    const [command] = DEPLOY.filter((line) => line.includes("npm run token"));
    const made = await terminal.run(command!.replace("…", secret ?? SECRET));
    const token = made.trim().split("\n").at(-1)!;
    expect(token).toMatch(/^eyJ/);
    if (secret === null) return;
    const program = new Program(folder, "deployed", terminal.here(block("ts", "kitchen.consume")), {
      TOKEN: token,
    });
    try {
      await program.says("brewing");
      await program.end("SIGINT");
    } finally {
      await program.end("SIGKILL");
    }
  });
});

describe("README's commands", () => {
  it("are all run: here, or by what builds and deploys", () => {
    const known = [...TOKENS, ...CURL, ...EXCHANGE, OPEN_KEYS, SECRET_KEYS, ...DEPLOY];
    const others = [...readme.matchAll(/```sh\n([^]*?)```/g)]
      .flatMap((match) => commandsOf(match[1]!))
      .filter((command) => !known.includes(command));
    // The first two are what CI itself runs, the others are run by node/package.test.ts.
    const elsewhere = ["npm ci && npm run demo", "npm ci && npm test", "npm pack", "npm i"];
    expect(others.filter((command) => !elsewhere.some((start) => command.startsWith(start)))).toEqual([]);
  });
});
