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

function curlCommands(): string[] {
  const block = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)]
    .map((match) => match[1]!)
    .find((text) => text.includes("curl"));
  const lines = block!.replaceAll("\\\n", " ").split("\n");
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
    const [declare, publish, receive, settle, look] = curlCommands();
    expect(run(declare!)).toMatchObject({ queue: "orders" });
    expect(run(publish!)).toMatchObject({ ids: [expect.any(String)] });
    const { messages } = run(receive!) as { messages: { receipt: string; body: string }[] };
    expect(messages).toMatchObject([{ body: "one espresso" }]);
    expect(run(settle!.replace("<receipt>", messages[0]!.receipt))).toMatchObject({
      results: [{ ok: true }],
    });
    expect(run(look!)).toMatchObject({ counts: { ready: 0, leased: 0 }, totals: { acked: 1 } });
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
