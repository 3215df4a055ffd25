// Which hub takes a session, and what it is told.
import { describe, expect, it } from "vitest";
import { CLAIMS_HEADER } from "../../../src/protocol/rpc.ts";
import { RESUME_HEADER } from "../../../src/protocol/inbox.ts";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { FakeBroker, problemOf } from "../../support/fake-broker.ts";
import { opensNone } from "../../support/fake-socket.ts";
import { authorization, SECRET, tokenWith } from "../../support/token.ts";

const UPGRADE = { Upgrade: "websocket" };
const resume = `2.5.${"0".repeat(32)}`;

/** Hubs that refuse: the first so many because they are full, the others for a reason of their own. */
class Hubs {
  nowMs = Date.now();
  readonly requests: Request[] = [];
  readonly broker: FakeBroker;

  constructor(isFull: (hub: string) => boolean) {
    this.broker = new FakeBroker({
      secret: SECRET,
      nowMs: () => this.nowMs,
      hub: {
        fetch: async (request) => {
          this.requests.push(request);
          const hub = this.tried().at(-1)!.split("/")[1]!;
          return isFull(hub) ? opensNone("hub_full", 503) : opensNone("unauthenticated", 401);
        },
      },
    });
  }

  tried(): string[] {
    return this.broker.calls.map(({ object }) => object);
  }

  async open(query = "", headers: Record<string, string> = {}): Promise<string> {
    const token = await authorization([], {
      subject: "☃",
      expiresMs: this.nowMs + 3_600_000,
      ...this.claims,
    });
    const response = await this.broker.request("GET", `/v1/socket${query}`, {
      headers: { ...token, ...UPGRADE, ...headers },
    });
    return (await problemOf(response)).code;
  }

  claims: { namespace?: string } = {};
}

describe("a session", () => {
  it("is opened with the caller's rights, and nothing else of the request", async () => {
    const hubs = new Hubs(() => false);
    const headers = {
      "Sec-WebSocket-Protocol": "millrace.v1",
      [CLAIMS_HEADER]: "{}",
      [RESUME_HEADER]: resume,
    };
    expect(await hubs.open("", headers)).toBe("unauthenticated");
    expect(hubs.tried()).toEqual(["acme/0"]);
    const [request] = hubs.requests;
    expect(JSON.parse(request!.headers.get(CLAIMS_HEADER)!)).toEqual({
      namespace: "acme",
      subject: "☃",
      expiresMs: Math.floor((hubs.nowMs + 3_600_000) / 1_000) * 1_000,
      grants: [],
    });
    expect(request!.headers.get("Authorization")).toBe(null);
    expect(request!.headers.get(RESUME_HEADER)).toBe(null);
    expect(request!.headers.get("Sec-WebSocket-Protocol")).toBe("millrace.v1");
  });

  it("goes to the first hub that is not full, and on to the next", async () => {
    const hubs = new Hubs((hub) => Number(hub) < 2);
    await hubs.open();
    expect(hubs.tried()).toEqual(["acme/0", "acme/1", "acme/2"]);
    await hubs.open();
    expect(hubs.tried().slice(3)).toEqual(["acme/2"]);
    hubs.claims = { namespace: "other" };
    await hubs.open();
    expect(hubs.tried().slice(4)).toEqual(["other/0", "other/1", "other/2"]);
  });

  it("tries a full hub again after a minute", async () => {
    const hubs = new Hubs((hub) => hub === "0");
    await hubs.open();
    hubs.nowMs += 59_999;
    await hubs.open();
    expect(hubs.tried().slice(2)).toEqual(["acme/1"]);
    hubs.nowMs += 1;
    await hubs.open();
    expect(hubs.tried().slice(3)).toEqual(["acme/0", "acme/1"]);
  });

  it("is refused when every hub is full", async () => {
    const hubs = new Hubs(() => true);
    expect(await hubs.open()).toBe("hub_full");
    expect(hubs.tried()).toHaveLength(LIMITS.hubsMax);
    expect(await hubs.open()).toBe("hub_full");
    expect(hubs.tried()).toHaveLength(LIMITS.hubsMax);
  });

  it("that comes back goes to its hub with its key, and to another when that is full", async () => {
    const offer = { "Sec-WebSocket-Protocol": `millrace.v1, resume.${resume}` };
    const back = new Hubs(() => false);
    await back.open("", offer);
    expect(back.tried()).toEqual(["acme/2"]);
    expect(back.requests[0]!.headers.get(RESUME_HEADER)).toBe(resume);
    const full = new Hubs((hub) => hub === "2");
    await full.open("", offer);
    expect(full.tried()).toEqual(["acme/2", "acme/0"]);
    expect(full.requests[1]!.headers.get(RESUME_HEADER)).toBe(null);
  });

  it.each(["~2.5.0123456789a", `64.5.${"0".repeat(32)}`, `2.5.${"0".repeat(31)}`, ""])(
    "that offers %j, which is no key, is a new one",
    async (text) => {
      const hubs = new Hubs(() => false);
      await hubs.open(`?inbox=${encodeURIComponent(text)}`, { "Sec-WebSocket-Protocol": `resume.${text}` });
      expect(hubs.tried()).toEqual(["acme/0"]);
      expect(hubs.requests[0]!.headers.get(RESUME_HEADER)).toBe(null);
    },
  );

  it("is WebSocket only, and takes a browser's token beside its subprotocol", async () => {
    const hubs = new Hubs(() => false);
    expect(await hubs.open("", { Upgrade: "h2c" })).toBe("upgrade_required");
    const protocols = `millrace.v1, bearer.${await tokenWith([])}`;
    const headers = { ...UPGRADE, "Sec-WebSocket-Protocol": protocols };
    await hubs.broker.request("GET", "/v1/socket", { headers });
    expect(hubs.tried()).toEqual(["acme/0"]);
    expect(hubs.requests[0]!.headers.get("Sec-WebSocket-Protocol")).toBe("millrace.v1");
  });
});

describe("a queue's socket", () => {
  it("is told when the first right over the queue ends", async () => {
    const nowMs = Math.floor(Date.now() / 1_000) * 1_000;
    const requests: Request[] = [];
    const fetch = async (request: Request) => {
      requests.push(request);
      return opensNone("queue_not_found", 404);
    };
    const broker = new FakeBroker({ secret: SECRET, queue: { fetch }, nowMs: () => nowMs });
    const headers = await authorization(
      [
        { verb: "publish", pattern: "orders" },
        { verb: "consume", pattern: "orders", expiresMs: nowMs + 5_000 },
      ],
      { jti: "t1", expiresMs: nowMs + 9_000 },
    );
    await broker.request("GET", "/v1/queues/orders/socket", { headers: { ...headers, ...UPGRADE } });
    expect(JSON.parse(requests[0]!.headers.get(CLAIMS_HEADER)!)).toEqual({
      subject: "tester",
      jti: "t1",
      publish: true,
      consume: true,
      replyTo: ["orders"],
      expiresMs: nowMs + 5_000,
    });
  });
});
