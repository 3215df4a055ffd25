// The page that the browser loads: the built SDK and nothing else. Tests drive it through `window`.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

const HTML = `<!doctype html>
<meta charset="utf-8" />
<title>Millrace in a page</title>
<ol id="events"></ol>
<script type="module">
  import * as millrace from "/client.js";
  window.millrace = millrace;
</script>`;

export interface PageServer {
  readonly url: string;
  close(): Promise<void>;
}

export async function servePage(): Promise<PageServer> {
  const client = await readFile(join(import.meta.dirname, "../../build/client.js"));
  const send = (response: ServerResponse, type: string, body: string | Buffer): void => {
    response.writeHead(200, { "Content-Type": type }).end(body);
  };
  const server = createServer((request, response) => {
    if (request.url === "/client.js") send(response, "text/javascript", client);
    else send(response, "text/html", HTML);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
