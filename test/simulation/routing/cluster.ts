// All objects of one namespace, as they are shipped, each in a host; and the network that clients come over.
import { parseResumeKey, RESUME_HEADER, RESUME_PREFIX } from "../../../src/protocol/inbox.ts";
import type { ExchangeApi, HubApi, SessionClaims } from "../../../src/protocol/exchange-rpc.ts";
import { CLAIMS_HEADER, type NamespaceApi, type QueueApi } from "../../../src/protocol/rpc.ts";
import type { Random } from "../random.ts";
import type { RoutingFaults } from "./faults.ts";
import type { Loop } from "./loop.ts";
import type { Life } from "./platform.ts";
// Before the objects: with it comes the platform, and they take hold of chance when they are loaded.
import { Host, type HostPorts, type Instance, type Kind } from "./host.ts";
import { ExchangeObject } from "../../../src/objects/exchange-object.ts";
import { HubObject } from "../../../src/objects/hub-object.ts";
import { NamespaceObject } from "../../../src/objects/namespace-object.ts";
import { QueueObject } from "../../../src/objects/queue-object.ts";
import type { Network, ServerSocket } from "./sockets.ts";

const CLASSES: Record<Kind, new (state: never, env: never) => unknown> = {
  queue: QueueObject,
  exchange: ExchangeObject,
  hub: HubObject,
  namespace: NamespaceObject,
};

const NAMES: Record<Kind, string> = {
  queue: "QUEUES",
  exchange: "EXCHANGES",
  hub: "HUBS",
  namespace: "NAMESPACES",
};

export interface ClusterPorts {
  readonly loop: Loop;
  readonly random: Random;
  readonly hubs: number;
  /** What stands for a hub, where there are no sessions. */
  readonly hub?: new (state: never, env: never) => unknown;
  readonly faults: () => RoutingFaults;
  readonly say: (line: string) => void;
  readonly committed: (host: Host, isStored: boolean) => void;
}

export class Cluster implements Network {
  readonly loop: Loop;
  private readonly ports: ClusterPorts;
  private readonly hosts = new Map<string, Host>();
  private readonly claims = new Map<string, SessionClaims>();

  constructor(ports: ClusterPorts) {
    this.ports = ports;
    this.loop = ports.loop;
  }

  all(): Host[] {
    return [...this.hosts.values()];
  }

  host(kind: Kind, name: string): Host {
    const key = `${kind} ${name}`;
    let host = this.hosts.get(key);
    if (host === undefined) {
      const { loop, random, faults, say, committed } = this.ports;
      const classes = { ...CLASSES, ...(this.ports.hub && { hub: this.ports.hub }) };
      const make: HostPorts["make"] = (self, state, life) =>
        new classes[self.kind](state as never, this.env(life) as never) as Instance;
      host = new Host(kind, name, { loop, random, faults, say, make, committed });
      this.hosts.set(key, host);
    }
    return host;
  }

  private env(life: Life): unknown {
    const kinds = Object.keys(NAMES) as Kind[];
    return Object.fromEntries(
      kinds.map((kind) => [NAMES[kind], { getByName: (name: string) => this.stub(life, kind, name) }]),
    );
  }

  private stub(caller: Life | null, kind: Kind, name: string): unknown {
    const host = this.host(kind, name.slice(name.indexOf("/") + 1));
    return new Proxy(
      {},
      {
        get:
          (_, method: string) =>
          (...args: unknown[]) =>
            host.call(caller, method, args),
      },
    );
  }

  // As the edge calls them

  queue(name: string): QueueApi {
    return this.stub(null, "queue", name) as QueueApi;
  }
  exchange(name: string): ExchangeApi {
    return this.stub(null, "exchange", name) as ExchangeApi;
  }
  hub(name: string): HubApi {
    return this.stub(null, "hub", name) as HubApi;
  }
  get namespace(): NamespaceApi {
    return this.stub(null, "namespace", "sim") as NamespaceApi;
  }

  // The network

  latency(): number {
    return this.ports.faults().latency(this.ports.random);
  }

  admit(subject: string): void {
    const grants = [
      { verb: "subscribe" as const, pattern: "#" },
      { verb: "publish" as const, pattern: "#" },
    ];
    this.claims.set(subject, { namespace: "sim", subject, grants });
  }

  /** `wss://<subject>/v1/socket`, offering `resume.…`: the same hub again, or any. */
  async open(url: string, protocols: readonly string[]): Promise<ServerSocket | null> {
    const { hostname } = new URL(url);
    const resume = protocols.find((one) => one.startsWith(RESUME_PREFIX))?.slice(RESUME_PREFIX.length);
    const address = resume === undefined ? null : parseResumeKey(resume);
    const { random, hubs } = this.ports;
    const any = String(random.between(0, hubs - 1));
    const host = this.host("hub", address === null || random.chance(0.3) ? any : address.hub);
    await new Promise<void>((resolve) => void this.loop.later(this.latency(), resolve));
    const headers = {
      [CLAIMS_HEADER]: JSON.stringify(this.claims.get(hostname)),
      ...(resume === undefined ? {} : { [RESUME_HEADER]: resume }),
    };
    return host.open(headers);
  }

  private hubOf(socket: ServerSocket): Host | null {
    return this.all().find((host) => host.sockets.has(socket)) ?? null;
  }

  toServer(socket: ServerSocket, data: string | ArrayBuffer): void {
    this.hubOf(socket)?.toServer(socket, data);
  }

  closed(socket: ServerSocket, code: number): void {
    this.hubOf(socket)?.closed(socket, code);
  }

  close(): void {
    for (const host of this.all()) host.close();
  }
}
