// README's first page, run as it stands: each curl command in order, against a fresh broker.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBroker } from "../../examples/demo/broker.ts";

const readme = readFileSync(join(import.meta.dirname, "../../README.md"), "utf8");
let broker: Awaited<ReturnType<typeof startBroker>>;

beforeAll(async () => {
  broker = await startBroker();
});
afterAll(() => broker.stop());

/** The commands of a block of the page; blocks without any do not count. */
function curlCommands(block: number): string[] {
  const blocks = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)]
    .map((match) => match[1]!)
    .filter((text) => text.includes("curl"));
  const lines = blocks[block]!.replaceAll("\\\n", " ").split("\n");
  return lines.filter((line) => line.startsWith("curl "));
}

function run(command: string): unknown {
  const local = command
    .replaceAll("http://localhost:8787", broker.url)
    .replace(/^curl /, "curl -sS --fail-with-body ");
  return JSON.parse(execFileSync("sh", ["-c", local], { encoding: "utf8" }));
}

describe("README's first page", () => {
  it("works with nothing but curl", () => {
    const [declare, publish, receive, settle, look] = curlCommands(0);
    expect(run(declare!)).toMatchObject({ queue: "orders" });
    expect(run(publish!)).toMatchObject({ ids: [expect.any(String)] });
    const { messages } = run(receive!) as { messages: { receipt: string; body: string }[] };
    expect(messages).toMatchObject([{ body: "one espresso" }]);
    expect(run(settle!.replace("<receipt>", messages[0]!.receipt))).toMatchObject({
      results: [{ ok: true }],
    });
    expect(run(look!)).toMatchObject({ counts: { ready: 0, leased: 0 }, totals: { acked: 1 } });
  });

  it("leads a message through an exchange, and tells it to who listens", () => {
    const [declare, bind, publish, explain, follow, ...rest] = curlCommands(1);
    expect(rest).toEqual([]);
    expect(run(declare!)).toMatchObject({ exchange: "shop" });
    expect(run(bind!)).toMatchObject({ destination: { queue: "orders" } });
    expect(run(publish!)).toMatchObject({ matched: [1] });
    expect(run(explain!)).toMatchObject({ destinations: [{ queue: "orders" }] });
    // The stream has no end: curl is told to leave.
    const local = follow!.replaceAll("http://localhost:8787", broker.url).replace(/^curl /, "curl -sS -m 5 ");
    const heard = execFileSync("sh", ["-c", `${local} || true`], { encoding: "utf8" });
    expect(heard).toContain('"body":"one ristretto"');
  });

  it("serves clients of Amazon SQS", () => {
    const program = /```py\n([\s\S]*?)```/.exec(readme)![1]!.replaceAll("http://localhost:8787", broker.url);
    const shown = execFileSync("/usr/bin/python3", ["-c", `${program}\nprint(url)`], { encoding: "utf8" });
    expect(shown.trim()).toBe(`${broker.url}/000000000000/orders.fifo`);
    const counts = "curl http://localhost:8787/v1/queues/orders.fifo";
    expect(run(counts)).toMatchObject({ counts: { ready: 1 } });
  });

  it("names the address where the reference is", async () => {
    expect(readme).toContain("http://localhost:8787/docs/");
    const page = await fetch(`${broker.url}/docs/`);
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toContain("text/html");
    const openapi = (await (await fetch(`${broker.url}/openapi.json`)).json()) as { openapi: string };
    expect(openapi.openapi).toMatch(/^3\.1/);
  });
});
