// Which requests speak SQS, by their heads alone.
import { describe, expect, it } from "vitest";
import { jsonWire } from "../../../../src/gateways/sqs/json-wire.ts";
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
