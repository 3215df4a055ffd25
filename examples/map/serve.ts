// Serves the map: a page, the SDK as it is built, and where the airports lie.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { loadAirports, topicOf } from "../demo/airports.ts";

const TYPES: Readonly<Record<string, string>> = {
  "/": "text/html; charset=utf-8",
  "/map.js": "text/javascript",
  "/client.js": "text/javascript",
  "/airports.json": "application/json",
};

/** Resolves with the page's address. The server does not keep the process alive. */
export async function serveMap(brokerUrl: string, exchange: string): Promise<string> {
  const page = await readFile(join(import.meta.dirname, "map.html"), "utf8");
  const places = loadAirports().map((airport) => ({
    topic: topicOf(airport),
    name: `${airport.name}, ${airport.country}`,
    longitude: airport.longitude,
    latitude: airport.latitude,
  }));
  const files: Readonly<Record<string, string | Buffer>> = {
    "/": page.replace("__SETTINGS__", JSON.stringify({ brokerUrl, exchange })),
    "/map.js": await readFile(join(import.meta.dirname, "map.js")),
    "/client.js": await readFile(join(import.meta.dirname, "../../build/client.js")),
    "/airports.json": JSON.stringify(places),
  };
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const file = files[path];
    if (file === undefined) response.writeHead(404).end();
    else response.writeHead(200, { "Content-Type": TYPES[path]! }).end(file);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
