// Receipt handles: what they say, and which are of a queue.
import { describe, expect, it } from "vitest";
import { readReceiptHandle, receiptHandle } from "../../../../src/gateways/sqs/identifiers.ts";

const RECEIPT = { lease: 2 ** 40, sequence: 17, key: "k3y" };
const written = (text: string): string => Buffer.from(text).toString("base64");

describe("a receipt handle", () => {
  it("tells its queue, its receipt and the queue's origin", () => {
    const handle = receiptHandle("orders.fifo", { ...RECEIPT, origin: 1_099_511_627_521 });
    expect(readReceiptHandle("orders.fifo", handle)).toEqual({ ...RECEIPT, origin: 1_099_511_627_521 });
    expect(readReceiptHandle("orders", handle)).toBeNull();
  });

  it("of an earlier version tells no origin", () => {
    expect(readReceiptHandle("orders", written("orders 7-5"))).toEqual({ lease: 7, sequence: 5 });
  });

  it.each(["orders", "orders 7", "orders 7-5 a b", "orders 7-5 A!", "other 7-5 a", ""])(
    "%j is none",
    (text) => {
      expect(readReceiptHandle("orders", written(text))).toBeNull();
    },
  );
});
