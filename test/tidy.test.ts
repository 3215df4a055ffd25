// The architecture as a test: who may import whom, what the core must never touch, and what documents promise.
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { ERRORS } from "../src/protocol/errors.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const glob = (pattern: string): string[] => globSync(pattern, { cwd: ROOT }).map(normalize).sort();

const SOURCES = glob("src/**/*.ts").filter((path) => !path.endsWith(".d.ts"));
const TESTS = glob("test/**/*.ts");

/** Folders a folder may import. What is not listed is forbidden. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  protocol: [],
  routing: ["protocol"],
  queue: ["protocol"],
  // An outbox is the same thing in both, and so is what two configurations differ in.
  exchange: ["protocol", "routing", "queue"],
  // A protocol of others on one side, commands of ours on the other.
  gateways: ["protocol", "routing"],
  hub: ["protocol", "routing"],
  storage: ["protocol", "routing", "queue", "exchange", "hub"],
  // Between every caller and the objects of a queue.
  partitions: ["protocol"],
  objects: ["protocol", "routing", "queue", "exchange", "hub", "partitions", "storage", "env.ts"],
  // Grants are patterns of the topic grammar.
  edge: ["protocol", "routing"],
  client: ["protocol"],
  "env.ts": ["objects"],
  "worker.ts": ["edge", "gateways", "objects", "protocol", "env.ts"],
};

/** Packages and platform modules, by the files that may import them. */
const PACKAGES: readonly { readonly name: RegExp; readonly where: RegExp; readonly instead: string }[] = [
  {
    name: /^zod/,
    where: /^src\/(protocol\/(exchange-schemas|queue-schemas|schemas|schema-refusals)\.ts|edge\/)/,
    instead: "validate with protocol/schemas.ts",
  },
  { name: /^(@hono\/|hono)/, where: /^src\/edge\//, instead: "only the edge knows HTTP" },
  { name: /^cloudflare:/, where: /^src\/objects\//, instead: "only objects know the platform" },
  {
    name: /^@noble\/hashes\//,
    where: /^src\/(queue\/(completion|publishers)\.ts|hub\/seals\.ts|gateways\/)/,
    instead: "use crypto.subtle; only the core must not wait for a digest",
  },
  {
    name: /^node:/,
    where: /^src\/edge\/site\//,
    instead: "the Worker has no Node; only the site's build runs in it",
  },
];

const PURE = /^src\/(protocol|routing|queue|exchange|hub)\//;
const BANNED_IN_CORE: readonly [RegExp, string][] = [
  [/\bDate\.now\(|\bnew Date\(\)|\bperformance\./, "take nowMs as an argument"],
  [/\bMath\.random\(|\bcrypto\./, "take the random source as an argument"],
  [
    /\basync\b|\bawait\b|\bPromise\.|\bsetTimeout\b/,
    "the core never waits; that belongs to objects/ or edge/",
  ],
  [/\bconsole\./, "the core says nothing; return what is worth saying"],
];

const SQL = /["'`]\s*(SELECT\s|INSERT\s+(INTO|OR)\s|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX))/;

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

function importsOf(path: string): string[] {
  const text = withoutComments(read(path));
  const found = [...text.matchAll(/(?:import|export)\s[^"';]*?from\s*"([^"]+)"|import\s*\(?\s*"([^"]+)"/g)];
  return found.map((match) => match[1] ?? match[2]!);
}

function resolve(from: string, to: string): string {
  return normalize(join(dirname(from), to));
}

function folderOf(path: string): string {
  return path.split("/")[1]!;
}

describe("imports", () => {
  it("point only where the architecture lets them", () => {
    const offences: string[] = [];
    for (const path of SOURCES) {
      const folder = folderOf(path);
      for (const target of importsOf(path).filter((to) => to.startsWith("."))) {
        const resolved = resolve(path, target);
        if (!resolved.startsWith("src/")) continue;
        const other = folderOf(resolved);
        if (other !== folder && !MAY_IMPORT[folder]?.includes(other))
          offences.push(`${path} imports ${resolved}`);
      }
    }
    expect(offences).toEqual([]);
  });

  it("bring in packages only where they belong", () => {
    const offences: string[] = [];
    for (const path of SOURCES) {
      for (const target of importsOf(path).filter((to) => !to.startsWith("."))) {
        const rule = PACKAGES.find(({ name }) => name.test(target));
        if (!rule) offences.push(`${path} imports ${target}, which no rule allows`);
        else if (!rule.where.test(path)) offences.push(`${path} imports ${target}: ${rule.instead}`);
      }
    }
    expect(offences).toEqual([]);
  });

  it("never lead the SDK to a package", () => {
    const seen = new Set<string>();
    const visit = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const to of importsOf(path)) {
        expect(to.startsWith("."), `${path} imports ${to}`).toBe(true);
        visit(resolve(path, to));
      }
    };
    visit("src/client/index.ts");
    expect(seen.size).toBeGreaterThan(5);
  });

  it("load the wasm module only in objects and the composition root", () => {
    const users = SOURCES.filter((path) => importsOf(path).some((to) => to.endsWith(".wasm")));
    expect(users.filter((path) => !/^src\/(objects\/|worker\.ts)/.test(path))).toEqual([]);
  });

  it("reach every source file from an entry", () => {
    const imported = new Set(SOURCES.flatMap((path) => importsOf(path).map((to) => resolve(path, to))));
    const entries = new Set(["src/worker.ts", "src/client/index.ts", "src/edge/site/build.ts"]);
    const usedByTests = new Set(TESTS.flatMap((path) => importsOf(path).map((to) => resolve(path, to))));
    const lonely = SOURCES.filter((path) => !imported.has(path) && !entries.has(path));
    // An oracle or a twin may live for the tests alone.
    expect(lonely.filter((path) => !usedByTests.has(path))).toEqual([]);
  });
});

describe("the core", () => {
  it("has no clock, no chance, no waiting and no voice", () => {
    const offences: string[] = [];
    for (const path of SOURCES.filter((one) => PURE.test(one))) {
      // The object interfaces are asynchronous: they are types, called by the shells.
      if (path === "src/protocol/rpc.ts" || path === "src/protocol/exchange-rpc.ts") continue;
      const text = withoutComments(read(path));
      for (const [ban, instead] of BANNED_IN_CORE) if (ban.test(text)) offences.push(`${path}: ${instead}`);
    }
    expect(offences).toEqual([]);
  });

  it("leaves SQL to the storage", () => {
    const offenders = SOURCES.filter((path) => !path.startsWith("src/storage/") && SQL.test(read(path)));
    expect(offenders).toEqual([]);
  });
});

describe("every file", () => {
  it("compares error codes, not prose", () => {
    const offenders = SOURCES.filter((path) =>
      /\.(message|detail)\.(includes|match|startsWith)\(/.test(read(path)),
    );
    expect(offenders).toEqual([]);
  });

  it("is short enough to be one room", () => {
    const long = [...SOURCES, ...glob("wasm/*.ts")].filter((path) => read(path).split("\n").length > 401);
    expect(long).toEqual([]);
  });

  it("skips no test", () => {
    const skipped = /\b(it|test|describe)\.(skip|only)\b|\.todo\(/;
    const own = normalize("test/tidy.test.ts");
    expect(TESTS.filter((path) => path !== own && skipped.test(read(path)))).toEqual([]);
  });

  it("sleeps in no test", () => {
    const layers = /^test\/(core|contract|simulation|fuzz)\//;
    expect(
      TESTS.filter((path) => layers.test(path) && /\bsetTimeout\(|\bscheduler\.wait\(/.test(read(path))),
    ).toEqual([]);
  });
});

describe("documents", () => {
  it("list every error with its status", () => {
    const protocol = read("src/protocol/PROTOCOL.md");
    const missing = Object.entries(ERRORS).filter(([code, { status, closes }]) => {
      const row = new RegExp(`^\\| \`${code}\` +\\| +${status} +\\| +${closes ? "yes" : "no"} `, "m");
      return !row.test(protocol);
    });
    expect(missing.map(([code]) => code)).toEqual([]);
    const listed = [...protocol.matchAll(/^\| `([a-z_]+)` +\| +\d{3} /gm)].map((match) => match[1]);
    expect(listed.filter((code) => !Object.hasOwn(ERRORS, code!))).toEqual([]);
  });

  it("name only scripts that exist", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const texts = [
      read("README.md"),
      read("test/README.md"),
      read("src/ARCHITECTURE.md"),
      read("src/gateways/sqs/SQS.md"),
      read("wasm/README.md"),
    ];
    const named = texts.flatMap((text) => [...text.matchAll(/npm run ([a-z:]+)/g)].map((match) => match[1]!));
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });

  it("point to files that exist", () => {
    const documents = [
      "README.md",
      "src/ARCHITECTURE.md",
      "src/protocol/PROTOCOL.md",
      "src/gateways/sqs/SQS.md",
      "test/README.md",
      "wasm/README.md",
    ];
    const broken = documents.flatMap((path) =>
      [...read(path).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
        .map((match) => resolve(path, match[1]!))
        .filter((target) => !existsSync(join(ROOT, target)))
        .map((target) => `${path} → ${target}`),
    );
    expect(broken).toEqual([]);
  });
});
