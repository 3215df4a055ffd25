// Puts the static pages into build/site: the start page, the reference and the table of errors. Runs in Node as part
// of `npm run build`. Everything is served by the deployment itself, so the pages work without a network.
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PAGE_HEADERS } from "../../protocol/browser-headers.ts";
import { ERRORS } from "../../protocol/errors.ts";

const SITE = join(import.meta.dirname, "../../../build/site");
// Apache-2.0, one file, asks no other host for anything.
const RENDERER = fileURLToPath(import.meta.resolve("openapi-explorer/dist/browser/openapi-explorer.min.js"));

const STYLE = `
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }
  code, pre { font-family: ui-monospace, monospace; font-size: 0.92em; }
  pre { overflow-x: auto; padding: 0.8rem; border: 1px solid #8884; border-radius: 6px; }
  table { border-collapse: collapse; width: 100%; }
  th, td { text-align: left; vertical-align: top; padding: 0.4rem 0.8rem 0.4rem 0; border-bottom: 1px solid #8884; }
  tr:target { background: #fc04; }`;

function page(title: string, content: string, head = `<style>${STYLE}</style>`): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
${head}
</head>
<body>
${content}
</body>
</html>
`;
}

const START = page(
  "Millrace",
  `<h1>Millrace</h1>
<p>The broker is running. <a href="/docs/">Reference of the HTTP API</a> · <a href="/docs/errors/">Errors</a> ·
<a href="/openapi.json">OpenAPI 3.1</a></p>
<pre>curl -X PUT  http://127.0.0.1:8787/v1/queues/orders
curl -X POST http://127.0.0.1:8787/v1/queues/orders/messages -H 'Content-Type: text/plain' -d 'hello'
curl -X POST http://127.0.0.1:8787/v1/queues/orders/receive
curl -X POST http://127.0.0.1:8787/v1/queues/orders/settle -H 'Content-Type: application/json' \\
     -d '{"settlements":[{"receipt":"…","verdict":"ack"}]}'</pre>`,
);

const REFERENCE = page(
  "Millrace: HTTP API",
  `<openapi-explorer spec-url="/openapi.json" hide-server-selection="true"></openapi-explorer>`,
  `<script type="module" src="/docs/openapi-explorer.min.js"></script>`,
);

function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, title, closes, retry }]) =>
      `<tr id="${code}"><td><code>${code}</code></td><td>${status}</td><td>${title}</td><td>${retry ? "yes" : "no"}</td><td>${closes ? "closes" : "stays"}</td></tr>`,
  );
  return page(
    "Millrace: errors",
    `<h1>Errors</h1>
<p>Every refusal is one of these. Over HTTP it is a problem document (RFC 9457) with this <code>code</code>; over a socket,
an <code>error</code> frame. The <code>detail</code> is for people and names the field at fault.</p>
<table>
<tr><th>Code</th><th>Status</th><th>Meaning</th><th>May succeed later unchanged</th><th>A socket</th></tr>
${rows.join("\n")}
</table>`,
  );
}

/** What the platform adds to every file, in the form of its `_headers`. */
function headersFile(): string {
  return ["/*", ...PAGE_HEADERS.map(([name, value]) => `  ${name}: ${value}`), ""].join("\n");
}

await mkdir(join(SITE, "docs/errors/"), { recursive: true });
await Promise.all([
  writeFile(join(SITE, "_headers"), headersFile()),
  writeFile(join(SITE, "index.html"), START),
  writeFile(join(SITE, "docs/index.html"), REFERENCE),
  writeFile(join(SITE, "docs/errors/index.html"), errorsPage()),
  copyFile(RENDERER, join(SITE, "docs/openapi-explorer.min.js")),
]);
