// Which requests speak SQS, by their heads alone.
import { describe, expect, it } from "vitest";
import { jsonWire } from "../../../../src/gateways/sqs/json-wire.ts";
import { queryJsonWire } from "../../../../src/gateways/sqs/query-json.ts";
import { queryWire } from "../../../../src/gateways/sqs/query-wire.ts";
import { wireOf } from "../../../../src/gateways/sqs/wire.ts";
import { formRequest, jsonRequest, ORIGIN } from "../../../support/sqs-requests.ts";

describe("a request", () => {
  it("that names an action of SQS in its header speaks JSON", () => {
    expect(wireOf(jsonRequest("SendMessage"))).toBe(jsonWire);
    expect(wireOf(jsonRequest("NoSuchAction"))).toBe(jsonWire);
  });

  it("that names an action of another service speaks neither", () => {
    const headers = { "x-amz-target": "DynamoDB_20120810.ListTables" };
    expect(wireOf(new Request(`${ORIGIN}/`, { method: "POST", headers }))).toBeNull();
  });

  it.each([
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-8",
    "Application/X-WWW-Form-URLEncoded;charset=UTF-8",
  ])("with a form as %s speaks Query", (contentType) => {
    expect(wireOf(formRequest("/", contentType))).toBe(queryWire);
  });

  it("with an action in its query string speaks Query", () => {
    expect(wireOf(new Request(`${ORIGIN}/?Action=ListQueues`))).toBe(queryWire);
    expect(wireOf(new Request(`${ORIGIN}/1/q?Version=2012-11-05&Action=SendMessage`))).toBe(queryWire);
    expect(wireOf(new Request(`${ORIGIN}/?Action=ListQueues`, { method: "POST" }))).toBe(queryWire);
  });

  it("in Query whose Accept asks for JSON is answered in it", () => {
    const headers = { Accept: "application/json" };
    expect(wireOf(new Request(`${ORIGIN}/?Action=ListQueues`, { headers }))).toBe(queryJsonWire);
    const any = { Accept: "text/html,*/*" };
    expect(wireOf(new Request(`${ORIGIN}/?Action=ListQueues`, { headers: any }))).toBe(queryWire);
  });

  it.each([
    ["GET", "/", undefined],
    ["GET", "/?action=ListQueues", undefined],
    ["HEAD", "/?Action=ListQueues", undefined],
    ["PUT", "/", "application/x-www-form-urlencoded"],
    ["POST", "/", "application/json"],
    ["POST", "/", "application/x-www-form-urlencodedX"],
    ["POST", "/", undefined],
  ])("of %s %s with %s speaks neither", (method, path, contentType) => {
    const headers: Record<string, string> = contentType === undefined ? {} : { "content-type": contentType };
    expect(wireOf(new Request(ORIGIN + path, { method, headers }))).toBeNull();
  });
});

describe("an answer to Query in JSON", () => {
  const document = async (response: Response): Promise<unknown> => {
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("x-amzn-RequestId")).toBe("r");
    return response.json();
  };
  const ResponseMetadata = { RequestId: "r" };

  it("is nested like the XML, with pairs for maps and null for what is absent", async () => {
    const attributes = queryJsonWire.answer("GetQueueAttributes", { Attributes: { QueueArn: "arn" } }, "r");
    expect(await document(attributes)).toEqual({
      GetQueueAttributesResponse: {
        GetQueueAttributesResult: { Attributes: [{ Name: "QueueArn", Value: "arn" }] },
        ResponseMetadata,
      },
    });
    const list = queryJsonWire.answer("ListQueues", { QueueUrls: ["http://q"] }, "r");
    expect(await document(list)).toEqual({
      ListQueuesResponse: {
        ListQueuesResult: { NextToken: null, queueUrls: ["http://q"] },
        ResponseMetadata,
      },
    });
    const none = queryJsonWire.answer("ReceiveMessage", {}, "r");
    expect(await document(none)).toEqual({
      ReceiveMessageResponse: { ReceiveMessageResult: { messages: null }, ResponseMetadata },
    });
    const nothing = queryJsonWire.answer("PurgeQueue", {}, "r");
    expect(await document(nothing)).toEqual({ PurgeQueueResponse: { ResponseMetadata } });
  });

  it("tells a refusal by its code, with its status", async () => {
    const refusal = { ok: false, error: "QueueDoesNotExist", message: "no" } as const;
    const response = queryJsonWire.refuse(refusal, "r");
    expect(response.status).toBe(400);
    expect(await document(response)).toEqual({
      Error: {
        Code: "AWS.SimpleQueueService.NonExistentQueue",
        Message: "The specified queue does not exist for this wsdl version.",
        Type: "Sender",
      },
      RequestId: "r",
    });
  });
});
