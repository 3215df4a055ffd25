/** The client's package as a user gets it: packed, installed in an empty project, compiled with its types, and run. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createTestHarness } from "wrangler";

const ROOT = join(import.meta.dirname, "../..");
const TSC = join(ROOT, "node_modules/typescript/bin/tsc");
const run = promisify(execFile);

const PROGRAM = `
import { connect, isMillraceError, type Message, type Published } from "millrace/client";

const client = connect({ url: process.argv[2] ?? "" });
const queue = client.queue("packed");
await queue.declare({ maxFailures: 3 });
const published: Published = await queue.publish({ drink: "espresso" }, { priority: 3 });
const got = Promise.withResolvers<Message>();
queue.consume((message) => got.resolve(message));
console.log(published.duplicate, (await got.promise).json<{ drink: string }>().drink);
// @ts-expect-error -- the types know the options
await queue.publish("a", { prioritty: 3 }).catch((error: unknown) => {
  console.log(isMillraceError(error, "bad_request"));
});
await client.drain();
`;

const server = createTestHarness({
  workers: [{ configPath: "../../wrangler.toml" }],
  root: import.meta.dirname,
});
let folder = "";
let project = "";
let packed = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-package-"));
  project = join(folder, "project");
  await mkdir(project);
  await writeFile(join(project, "package.json"), JSON.stringify({ name: "project", type: "module" }));
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const [pack, install] = /```sh\n(npm pack .*)\n(npm i .*)\n/.exec(readme)!.slice(1) as [string, string];
  await run("sh", ["-c", pack.replace("npm pack", `npm pack --pack-destination ${folder}`)], { cwd: ROOT });
  await run(
    "sh",
    ["-c", `${install.replace("../millrace/", "../").replace(/#.*/, "")} --no-audit --no-fund`],
    {
      cwd: project,
    },
  );
  packed = join(project, "node_modules/millrace");
  await writeFile(join(project, "program.ts"), PROGRAM);
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

describe("the packed client", () => {
  it("brings nothing else along", async () => {
    const lock = JSON.parse(await readFile(join(project, "package-lock.json"), "utf8")) as {
      packages: Record<string, { dev?: boolean }>;
    };
    expect(Object.keys(lock.packages)).toEqual(["", "node_modules/millrace"]);
    await expect(readFile(join(packed, "src/worker.ts"))).rejects.toThrow("ENOENT");
    for (const file of ["README.md", "LICENSE", "CHANGELOG.md", "build/client.js"])
      expect((await readFile(join(packed, file))).length, file).toBeGreaterThan(0);
  });

  it.each([
    ["nodenext", { module: "nodenext", lib: ["es2024"], types: ["node"] }],
    ["nodenext", { module: "nodenext", lib: ["es2024", "dom"], types: ["node"] }],
    ["bundler", { module: "esnext", moduleResolution: "bundler", lib: ["es2024", "dom"], types: ["node"] }],
  ])("compiles under %s, with every declaration checked: %j", async (_name, options) => {
    await mkdir(join(project, "node_modules/@types"), { recursive: true });
    for (const name of ["@types/node", "undici-types"]) {
      const to = join(project, "node_modules", name);
      await mkdir(dirname(to), { recursive: true });
      await symlink(join(ROOT, "node_modules", name), to, "dir").catch(() => undefined);
    }
    const compilerOptions = {
      ...options,
      target: "es2022",
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      noEmit: true,
    };
    await writeFile(
      join(project, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["program.ts"] }),
    );
    const told = await run(process.execPath, [TSC, "-p", project]).then(
      ({ stdout }) => stdout,
      (error: { stdout: string }) => error.stdout,
    );
    expect(told).toBe("");
  });

  it("runs", async () => {
    const { url } = await server.listen();
    const program = join(project, "program.ts");
    const { stdout } = await run(process.execPath, [program, url.origin], { cwd: project });
    expect(stdout).toBe("false espresso\ntrue\n");
  });
});
