// Exchanges over a fake object: what a request becomes, and which grants it takes.
import { describe, expect, it } from "vitest";
import { EXCHANGE_DEFAULTS, type ExchangeConfig } from "../../../src/protocol/exchange-config.ts";
import type { ExchangeApi } from "../../../src/protocol/exchange-rpc.ts";
import { ok, refuse } from "../../../src/protocol/result.ts";
import type { Grant } from "../../../src/protocol/rpc.ts";
import { FakeBroker, problemOf, type FakeOptions } from "../../support/fake-broker.ts";
import { authorization, SECRET } from "../../support/token.ts";

const PATH = "/v1/exchanges/events";
const info = (config: Partial<ExchangeConfig> = {}) =>
  ({ exchange: "events", config: { ...EXCHANGE_DEFAULTS, ...config } }) as never;
const view = { id: 7, destination: { queue: "orders" }, key: "a.#", headers: null } as const;
const answering = {
  declare: async () => ok({ created: true, info: info() }),
  update: async () => ok(info()),
  inspect: async () => ok(info()),
  remove: async () => ok({ bindings: 2, delayed: 3 }),
  bind: async () => ok({ created: true, binding: view }),
  unbind: async () => ok(view),
  bindings: async () => ok({ bindings: [view], after: 7 }),
  explain: async () => ok({ bindings: [], bindingsTotal: 0, destinations: [] }),
  presence: async () => ok({ exchange: "events", subscriptions: 0, members: 0, list: [] }),
} satisfies Partial<ExchangeApi>;

const open = (options: FakeOptions = {}) => new FakeBroker({ exchange: answering, ...options });

/** The code that a token with these grants is refused with, or the status of what it is answered. */
async function asks(
  grants: readonly Grant[],
  method: string,
  path: string,
  body?: object,
  exchange: FakeOptions["exchange"] = answering,
): Promise<string | number> {
  const broker = new FakeBroker({
    secret: SECRET,
    exchange,
    hub: { inspect: async () => ok({} as never) },
    namespace: { listExchanges: async () => ok({ exchanges: [] }) },
  });
  const headers = await authorization(grants);
  const response =
    body === undefined
      ? await broker.request(method, path, { headers })
      : await broker.json(method, path, body, headers);
  return response.ok ? response.status : (await problemOf(response)).code;
}

const grant = (verb: Grant["verb"], pattern: string, more: Partial<Grant> = {}): Grant => ({
  verb,
  pattern,
  ...more,
});

describe("declaring an exchange", () => {
  it("takes the defaults for what is left out, with or without a body", async () => {
    const broker = open();
    expect((await broker.request("PUT", PATH)).status).toBe(201);
    const history = { eventsMax: 5 };
    expect((await broker.json("PUT", PATH, { kind: "fanout", history })).status).toBe(201);
    expect(broker.inputs("declare")).toEqual([
      [EXCHANGE_DEFAULTS],
      [{ ...EXCHANGE_DEFAULTS, kind: "fanout", history: { eventsMax: 5, ageMs: null } }],
    ]);
    expect(broker.calls.map(({ object }) => object)).toEqual(["default/events", "default/events"]);
  });

  it("says whether it was there", async () => {
    const found = { declare: async () => ok({ created: false, info: info() }) };
    const response = await open({ exchange: found }).request("PUT", PATH);
    expect([response.status, await response.json()]).toEqual([200, info()]);
  });

  it.each([
    [{ kind: "queue" }, "kind: must be one of direct, fanout, topic, headers, consistent-hash"],
    [{ Durable: true }, "Durable: is not a known field"],
    [{ history: { eventsMax: -1 } }, "history.eventsMax: must be at least 0"],
  ])("refuses %j", async (body, detail) => {
    const broker = open();
    expect(await problemOf(await broker.json("PUT", PATH, body))).toMatchObject({
      code: "bad_request",
      detail,
    });
    expect(broker.calls).toEqual([]);
  });

  it("refuses a name that is none", async () => {
    for (const [method, path] of [
      ["PUT", "/v1/exchanges/.x"],
      ["POST", "/v1/exchanges/.x/bindings"],
      ["POST", "/v1/exchanges/.x/messages"],
      ["GET", "/v1/exchanges/.x/presence"],
    ] as const) {
      const response = await open().request(method, path);
      expect(await problemOf(response)).toMatchObject({ code: "bad_name" });
    }
  });
});

it("changes what is named and nothing else", async () => {
  const broker = open();
  expect((await broker.json("PATCH", PATH, { lastValuesMax: 4 })).status).toBe(200);
  expect(broker.inputs("update")).toEqual([[{ lastValuesMax: 4 }]]);
});

it("deletes, when asked only if unused", async () => {
  const broker = open();
  const response = await broker.request("DELETE", PATH);
  expect(await response.json()).toEqual({ bindings: 2, delayed: 3 });
  await broker.request("DELETE", `${PATH}?ifUnused=true`);
  expect(broker.inputs("remove")).toEqual([[{ ifUnused: false }], [{ ifUnused: true }]]);
  expect((await broker.request("DELETE", `${PATH}?ifEmpty=true`)).status).toBe(400);
});

it("asks for the exchanges whose names the token has a grant for, and for no others", async () => {
  const listExchanges = async () => ok({ exchanges: ["a", "b"], after: "b" });
  const broker = new FakeBroker({ secret: SECRET, namespace: { listExchanges } });
  const headers = await authorization([
    grant("publish", "a"),
    grant("subscribe", "b"),
    grant("manage", "a"),
    grant("consume", "c"),
    grant("subscribe", "#", { exchange: "d" }),
  ]);
  const response = await broker.request("GET", "/v1/exchanges?prefix=p&limit=4&after=x", { headers });
  expect(await response.json()).toEqual({ exchanges: ["a", "b"], after: "b" });
  const wanted = { prefix: "p", limit: 4, after: "x", patterns: ["a", "b"] };
  expect(broker.inputs("listExchanges")).toEqual([[wanted]]);
});

describe("bindings", () => {
  const bind = (broker: FakeBroker, body: object) => broker.json("POST", `${PATH}/bindings`, body);

  it("are made once, and found when they are known", async () => {
    const broker = open();
    const response = await bind(broker, { destination: { queue: "orders" }, key: "a.#" });
    expect([response.status, await response.json()]).toEqual([201, view]);
    await bind(broker, { destination: { exchange: "other" }, headers: { headers: { x: null } } });
    expect(broker.inputs("bind")).toEqual([
      [{ destination: { queue: "orders" }, key: "a.#", headers: null }],
      [{ destination: { exchange: "other" }, key: "", headers: { match: "all", headers: { x: null } } }],
    ]);
    const known = open({ exchange: { bind: async () => ok({ created: false, binding: view }) } });
    expect((await bind(known, { destination: { queue: "orders" } })).status).toBe(200);
  });

  it("lead to one queue or one exchange", async () => {
    for (const destination of [{}, { queue: "a", exchange: "b" }, { queue: "." }, undefined]) {
      expect(await problemOf(await bind(open(), { destination }))).toMatchObject({ code: "bad_request" });
    }
  });

  it("are listed page by page, and removed by their id", async () => {
    const broker = open();
    const page = await broker.request("GET", `${PATH}/bindings?after=3&limit=1`);
    expect(await page.json()).toEqual({ bindings: [view], after: 7 });
    await broker.request("GET", `${PATH}/bindings`);
    expect(broker.inputs("bindings")).toEqual([[{ after: 3, limit: 1 }], [{ after: 0, limit: 100 }]]);
    expect(await (await broker.request("DELETE", `${PATH}/bindings/7`)).json()).toEqual(view);
    expect(broker.inputs("unbind")).toEqual([[7]]);
    for (const path of [`${PATH}/bindings?limit=1001`, `${PATH}/bindings?after=-1`]) {
      expect(await problemOf(await broker.request("GET", path))).toMatchObject({ code: "bad_request" });
    }
    expect((await broker.request("DELETE", `${PATH}/bindings/x`)).status).toBe(400);
  });
});

describe("an explanation", () => {
  const view = (id: number, queue: string) => ({
    binding: { id, destination: { queue }, key: `secret.${id}`, headers: null },
    matches: true,
    why: "it matches",
  });
  const whole = {
    bindings: [view(1, "orders"), view(2, "salaries")],
    bindingsTotal: 2,
    destinations: [{ queue: "orders" }, { queue: "salaries" }, { queue: "mail" }],
    alternate: "rest",
  };
  const told = async (...grants: readonly Grant[]): Promise<unknown> => {
    const broker = new FakeBroker({ secret: SECRET, exchange: { explain: async () => ok(whole) } });
    const headers = await authorization(grants);
    return (await broker.json("POST", `${PATH}/explain`, { routingKey: "a" }, headers)).json();
  };

  it("tells all to whoever manages the exchange", async () => {
    expect(await told({ verb: "manage", pattern: "events" })).toEqual(whole);
  });

  it("tells others of bindings to what they manage, and of destinations they have a grant over", async () => {
    const subscribe: Grant = { verb: "subscribe", pattern: "events" };
    expect(await told(subscribe)).toEqual({ bindings: [], bindingsTotal: 0, destinations: [] });
    expect(
      await told(subscribe, { verb: "manage", pattern: "orders" }, { verb: "publish", pattern: "mail" }),
    ).toEqual({
      bindings: [view(1, "orders")],
      bindingsTotal: 1,
      destinations: [{ queue: "orders" }, { queue: "mail" }],
    });
  });
});

it("explains what it is asked about", async () => {
  const broker = open();
  await broker.json("POST", `${PATH}/explain`, { routingKey: "a", headers: { x: 1 }, orderingKey: "k" });
  await broker.request("POST", `${PATH}/explain`);
  expect(broker.inputs("explain")).toEqual([
    [{ routingKey: "a", headers: { x: 1 }, orderingKey: "k" }],
    [{ routingKey: "" }],
  ]);
});

it("tells who subscribes, to everything or to a pattern", async () => {
  const broker = open();
  await broker.request("GET", `${PATH}/presence`);
  await broker.request("GET", `${PATH}/presence?pattern=a.*`);
  expect(broker.inputs("presence")).toEqual([["#"], ["a.*"]]);
  const response = await broker.request("GET", `${PATH}/presence?pattern=%23.a.%23.b.%23`);
  expect((await problemOf(response)).detail).toBe('pattern: must have at most 2 words "#"');
});

it("shows a hub that there can be", async () => {
  const broker = open({ hub: { inspect: async () => ok({ hub: "3" } as never) } });
  expect(await (await broker.request("GET", "/v1/hubs/3")).json()).toEqual({ hub: "3" });
  expect(broker.calls).toMatchObject([{ object: "default/3", method: "inspect" }]);
  for (const hub of ["64", "03", "x", "-1"]) {
    expect(await problemOf(await broker.request("GET", `/v1/hubs/${hub}`))).toMatchObject({
      code: "bad_request",
      detail: "hub: must be 0 to 63",
    });
  }
});

it("names what was called when the platform loses it", async () => {
  const lost = () => Promise.reject(Object.assign(new Error("inner"), { retryable: true }));
  const broker = open({ exchange: { inspect: lost, remove: lost } });
  const problem = await problemOf(await broker.request("GET", PATH));
  expect(problem).toMatchObject({
    code: "unavailable",
    detail: "inspect: the connection to the exchange was lost; it may or may not have been done",
  });
  expect(broker.inputs("inspect")).toHaveLength(3);
  expect(broker.logged.at(-1)).toMatchObject({ event: "call_failed", exchange: "events" });
  await broker.request("DELETE", PATH);
  expect(broker.inputs("remove")).toHaveLength(1);
});

it("passes on what the exchange refuses", async () => {
  const broker = open({ exchange: { declare: async () => refuse("exchange_exists", "kind: is direct") } });
  expect(await problemOf(await broker.request("PUT", PATH))).toMatchObject({
    status: 409,
    code: "exchange_exists",
    detail: "kind: is direct",
  });
});

describe("what a token may", () => {
  const manage = grant("manage", "events");
  const inExchange = (verb: Grant["verb"], pattern: string) => grant(verb, pattern, { exchange: "events" });
  const bind = { destination: { queue: "orders" }, key: "a.b" };
  const governs = grant("manage", "orders");

  it.each<[string, string, object | undefined, readonly Grant[], string | number]>([
    ["PUT", PATH, {}, [manage], 201],
    ["PUT", PATH, {}, [grant("publish", "events"), inExchange("manage", "#")], "forbidden"],
    ["PUT", PATH, { alternate: "rest" }, [manage], "forbidden"],
    ["PUT", PATH, { alternate: "rest" }, [manage, grant("publish", "rest")], 201],
    ["PUT", PATH, { alternate: null }, [manage], 201],
    ["PATCH", PATH, {}, [manage], 200],
    ["PATCH", PATH, {}, [grant("manage", "other")], "forbidden"],
    ["PATCH", PATH, { alternate: "rest" }, [manage], "forbidden"],
    ["PATCH", PATH, { alternate: "rest" }, [manage, grant("manage", "rest")], 200],
    ["GET", PATH, undefined, [grant("publish", "events")], 200],
    ["GET", PATH, undefined, [grant("subscribe", "events")], 200],
    ["GET", PATH, undefined, [grant("consume", "events")], "forbidden"],
    ["GET", PATH, undefined, [inExchange("publish", "#")], "forbidden"],
    ["DELETE", PATH, undefined, [manage], 200],
    ["DELETE", PATH, undefined, [grant("publish", "events")], "forbidden"],
    ["GET", `${PATH}/bindings`, undefined, [manage], 200],
    ["GET", `${PATH}/bindings`, undefined, [grant("subscribe", "#")], "forbidden"],
    ["DELETE", `${PATH}/bindings/1`, undefined, [manage], 200],
    ["DELETE", `${PATH}/bindings/1`, undefined, [grant("subscribe", "#")], "forbidden"],
    ["POST", `${PATH}/explain`, { routingKey: "a" }, [grant("subscribe", "events")], 200],
    ["POST", `${PATH}/explain`, { routingKey: "a" }, [inExchange("publish", "a")], 200],
    ["POST", `${PATH}/explain`, { routingKey: "b" }, [inExchange("publish", "a")], "forbidden"],
    ["GET", `${PATH}/presence?pattern=a.*`, undefined, [inExchange("subscribe", "*.b")], 200],
    ["GET", `${PATH}/presence?pattern=a.*`, undefined, [inExchange("subscribe", "b.*")], "forbidden"],
    ["GET", `${PATH}/presence?pattern=a.*`, undefined, [manage], 200],
    ["GET", "/v1/hubs/0", undefined, [grant("manage", "#")], 200],
    ["GET", "/v1/hubs/0", undefined, [grant("manage", "*")], "forbidden"],
    ["GET", "/v1/exchanges", undefined, [], 200],
    ["POST", `${PATH}/bindings`, bind, [manage, governs], 201],
    ["POST", `${PATH}/bindings`, bind, [manage], "forbidden"],
    ["POST", `${PATH}/bindings`, bind, [governs], "forbidden"],
    ["POST", `${PATH}/bindings`, bind, [governs, inExchange("subscribe", "#")], 201],
    ["POST", `${PATH}/bindings`, bind, [governs, inExchange("subscribe", "a.*")], 201],
    ["POST", `${PATH}/bindings`, bind, [governs, inExchange("subscribe", "b.*")], "forbidden"],
  ])("%s %s %j with %j: %s", async (method, path, body, grants, outcome) => {
    expect(await asks(grants, method, path, body)).toBe(outcome);
  });

  it("is asked before the exchange is, where the answer is no anyway", async () => {
    const broker = new FakeBroker({ secret: SECRET, exchange: answering });
    for (const grants of [[manage], [governs]]) {
      const headers = await authorization(grants);
      expect((await broker.json("POST", `${PATH}/bindings`, bind, headers)).status).toBe(403);
    }
    expect(broker.calls).toEqual([]);
  });

  it("depends on the kind where it binds what it may subscribe to only in part", async () => {
    const grants = [governs, inExchange("subscribe", "a.*")];
    const kinds = { topic: 201, direct: 201, fanout: "forbidden", headers: "forbidden" } as const;
    for (const [kind, outcome] of Object.entries(kinds)) {
      const exchange = { ...answering, inspect: async () => ok(info({ kind: kind as keyof typeof kinds })) };
      expect(await asks(grants, "POST", `${PATH}/bindings`, bind, exchange)).toBe(outcome);
    }
    const missing = { ...answering, inspect: async () => refuse("exchange_not_found", "exchange: is none") };
    expect(await asks(grants, "POST", `${PATH}/bindings`, bind, missing)).toBe("exchange_not_found");
  });
});
