// Uses the SDK in the ways in which a Worker may hold a client: one for each request, one for all, one in an object.
import { DurableObject } from "cloudflare:workers";
import { connect, isMillraceError, type Client } from "../../../src/client/index.ts";

interface Env {
  readonly BROKER_URL: string;
  readonly CALLERS: DurableObjectNamespace<Caller>;
}

let shared: Client | null = null;

const USES: Record<string, (client: Client) => Promise<unknown>> = {
  publish: async (client) => (await client.queue("orders").publish("one")).duplicate,
  route: async (client) => (await client.exchange("shop").publish("orders.new", "one")).matched,
  consume: async (client) =>
    client
      .queue("orders")
      .consume(() => undefined)
      .ready.then(() => "ready"),
  inspect: async (client) => (await client.queue("orders").inspect()).queue,
};

async function use(client: Client, how: string): Promise<Response> {
  try {
    return Response.json({ done: await USES[how]!(client) });
  } catch (error) {
    if (!isMillraceError(error)) throw error;
    return Response.json({ code: error.code, message: error.message });
  }
}

export default {
  async fetch(request, env): Promise<Response> {
    const [, whose, how = ""] = new URL(request.url).pathname.split("/");
    if (whose === "health") return new Response();
    if (whose === "object") return env.CALLERS.getByName("one").fetch(request);
    if (whose === "shared") return use((shared ??= connect({ url: env.BROKER_URL })), how);
    const client = connect({ url: env.BROKER_URL });
    const response = await use(client, how);
    await client.drain();
    return response;
  },
} satisfies ExportedHandler<Env>;

export class Caller extends DurableObject<Env> {
  private readonly client = connect({ url: this.env.BROKER_URL });

  override fetch(request: Request): Promise<Response> {
    return use(this.client, new URL(request.url).pathname.split("/")[2]!);
  }
}
