// Whom the gateway answers, and what it makes of what the broker says. Objects are fakes; the app around it is not.
import { describe, expect, it } from "vitest";
import { ok, refuse } from "../../../../src/protocol/result.ts";
import type { QueueApi } from "../../../../src/protocol/rpc.ts";
import { FakeBroker, type FakeOptions } from "../../../support/fake-broker.ts";

const SECRET = "0123456789abcdef0123456789abcdef";

function json(
  broker: FakeBroker,
  action: string,
  input: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  return broker.request("POST", "/", {
    headers: {
      "Content-Type": "application/x-amz-json-1.0",
      "X-Amz-Target": `AmazonSQS.${action}`,
      ...headers,
    },
    body: JSON.stringify(input),
  });
}

function form(
  broker: FakeBroker,
  path: string,
  parameters: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return broker.request("POST", path, { headers, body: new URLSearchParams(parameters) });
}

function answering(queue: FakeOptions["queue"]): FakeBroker {
  return new FakeBroker({ queue: queue ?? {} });
}

async function codeOf(response: Response): Promise<string> {
  const text = await response.text();
  return /<Code>([^<]*)/.exec(text)?.[1] ?? (JSON.parse(text) as { __type: string }).__type;
}

const purges = { purge: async () => ok({ messages: 3 }) } satisfies Partial<QueueApi>;

describe("a GET of a queue's address that names no action", () => {
  it("is an unknown operation, in XML, and no object is asked", async () => {
    for (const Accept of ["*/*", "application/json"]) {
      const broker = new FakeBroker({ queue: {} });
      const response = await broker.request("GET", "/000000000000/orders", { headers: { Accept } });
      expect([response.status, response.headers.get("content-type")]).toEqual([404, "text/xml"]);
      expect(await response.text()).toContain("<UnknownOperationException/>");
      expect(broker.calls).toEqual([]);
    }
  });
});

describe("tags", () => {
  it("that are none are refused alike in both protocols", async () => {
    const broker = answering({});
    const url = { QueueUrl: "orders" };
    for (const [action, member] of [
      ["TagQueue", { Tags: {} }],
      ["UntagQueue", { TagKeys: [] }],
    ] as const) {
      const inJson = await json(broker, action, { ...url, ...member });
      const inQuery = await form(broker, "/", { Action: action, ...url });
      expect([inJson.status, inQuery.status]).toEqual([400, 400]);
      expect(inJson.headers.get("x-amzn-query-error")).toBe("MissingParameter;Sender");
      expect(await codeOf(inQuery)).toBe("MissingParameter");
    }
    expect(broker.calls).toEqual([]);
  });
});

describe("an open broker", () => {
  it("does what a POST of its own machine asks, unsigned", async () => {
    const broker = answering(purges);
    expect((await json(broker, "PurgeQueue", { QueueUrl: "orders" })).status).toBe(200);
    expect((await form(broker, "/", { Action: "PurgeQueue", QueueUrl: "orders" })).status).toBe(200);
    expect(broker.inputs("purge")).toHaveLength(2);
  });

  it("changes nothing for a GET, which any page can have a browser send", async () => {
    const broker = answering(purges);
    const path = "/?Action=PurgeQueue&QueueUrl=orders";
    const signature = {
      Authorization: "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/sqs/aws4_request",
    };
    for (const headers of [{}, signature]) {
      const response = await broker.request("GET", path, { headers });
      expect([response.status, response.headers.get("content-type")]).toEqual([403, "text/xml"]);
      expect(await codeOf(response)).toBe("AccessDenied");
    }
    const inJson = await broker.request("GET", path, { headers: { Accept: "application/json" } });
    expect(await inJson.json()).toMatchObject({ Error: { Code: "AccessDenied", Type: "Sender" } });
    expect(broker.calls).toEqual([]);
  });

  it("reads for a GET", async () => {
    const broker = new FakeBroker({ namespace: { listQueues: async () => ok({ queues: ["orders"] }) } });
    const response = await broker.request("GET", "/?Action=ListQueues");
    expect(await response.text()).toContain("http://127.0.0.1:8787/000000000000/orders");
  });

  it("refuses the form of a page from elsewhere", async () => {
    const broker = answering(purges);
    const origin = { Origin: "https://elsewhere.example" };
    const response = await form(broker, "/", { Action: "PurgeQueue", QueueUrl: "orders" }, origin);
    expect(await codeOf(response)).toBe("AccessDenied");
    expect(broker.calls).toEqual([]);
  });

  it("refuses whoever is not on its machine", async () => {
    const broker = answering(purges);
    const response = await json(
      broker,
      "PurgeQueue",
      { QueueUrl: "orders" },
      { "CF-Connecting-IP": "203.0.113.9" },
    );
    expect(response.status).toBe(403);
    expect(broker.calls).toEqual([]);
  });
});

describe("a broker with a secret", () => {
  it("denies what is not signed, whatever it says", async () => {
    const broker = new FakeBroker({ queue: purges, secret: SECRET });
    for (const body of ['{"QueueUrl":"orders"}', "no JSON"]) {
      const response = await broker.request("POST", "/", {
        headers: { "X-Amz-Target": "AmazonSQS.PurgeQueue" },
        body,
      });
      expect(response.status).toBe(403);
      expect(await codeOf(response)).toBe("com.amazon.coral.service#AccessDeniedException");
    }
    expect(broker.calls).toEqual([]);
  });
});

describe("requests that are none of SQS's", () => {
  it.each([
    ["POST", "/v1/queues/orders/messages"],
    ["POST", "/v1/queues/orders/receive"],
  ])("%s %s with a form's content type goes to the route", async (method, path) => {
    const broker = answering({});
    const response = await broker.request(method, path, {
      body: new URLSearchParams({ Action: "SendMessage" }),
    });
    expect(response.headers.get("x-amzn-RequestId")).toBeNull();
  });

  it("leave the root to the start page", async () => {
    const response = await answering({}).request("GET", "/");
    expect(await response.text()).toBe("the start page");
  });
});

describe("what the broker says", () => {
  it("is a failure of ours when it throws, with nothing told but the request's id", async () => {
    const broker = answering({
      purge: async () => {
        throw new Error("the disk is on fire");
      },
    });
    const response = await json(broker, "PurgeQueue", { QueueUrl: "orders" });
    expect(response.status).toBe(500);
    expect(response.headers.get("x-amzn-query-error")).toBe("InternalFailure;Receiver");
    expect(await response.text()).not.toContain("fire");
    expect(broker.logged.map(({ event }) => event)).toEqual(["call_failed"]);
  });

  it.each([
    ["unavailable", 503, "ServiceUnavailable;Receiver"],
    ["queue_not_found", 400, "AWS.SimpleQueueService.NonExistentQueue;Sender"],
    ["rate_limited", 403, "RequestThrottled;Sender"],
    ["too_many_leases", 403, "OverLimit;Sender"],
  ] as const)("%s is a status %d", async (code, status, error) => {
    const broker = answering({ purge: async () => refuse(code, "no") });
    const response = await json(broker, "PurgeQueue", { QueueUrl: "orders" });
    expect(response.status).toBe(status);
    expect(response.headers.get("x-amzn-query-error")).toBe(error);
  });

  it("carries a date, by which clients set their clocks", async () => {
    const broker = new FakeBroker({ queue: purges, nowMs: () => Date.UTC(2026, 0, 2, 3, 4, 5) });
    const response = await json(broker, "PurgeQueue", { QueueUrl: "orders" });
    expect(response.headers.get("Date")).toBe("Fri, 02 Jan 2026 03:04:05 GMT");
  });
});
