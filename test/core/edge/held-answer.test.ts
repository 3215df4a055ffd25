// What a client that waits for a message gets, and how its going away is known.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { holdAnswer } from "../../../src/edge/held-answer.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** An answer that comes when it is given; what the client has of it so far; and whether it is known to have gone. */
class Waiting {
  isGone = false;
  heard = "";
  readonly give: (response: Response) => void;
  readonly held: Promise<Response>;
  private reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(nothing = "{}", late?: (refusal: Response) => Promise<string>) {
    const { promise, resolve } = Promise.withResolvers<Response>();
    this.give = resolve;
    this.held = holdAnswer(promise, {
      nothing: () => new Response(nothing, { headers: { "x-amzn-RequestId": "r" } }),
      ...(late && { late }),
      onGone: () => void (this.isGone = true),
    });
  }

  /** Until it is clear that the answer takes longer. */
  async begin(): Promise<Response> {
    await vi.advanceTimersByTimeAsync(1_000);
    const response = await this.held;
    this.reader = response.body!.getReader();
    void this.read();
    return response;
  }

  go(): Promise<void> {
    return this.reader!.cancel();
  }

  private async read(): Promise<void> {
    for (;;) {
      const { value, done } = await this.reader!.read();
      if (done) return;
      this.heard += new TextDecoder().decode(value);
    }
  }
}

describe("an answer that comes soon", () => {
  it("is given as it is, a refusal too", async () => {
    const waiting = new Waiting();
    const refusal = new Response("no", { status: 400 });
    waiting.give(refusal);
    expect(await waiting.held).toBe(refusal);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("an answer that takes long", () => {
  it("is begun with spaces, and is a document behind them", async () => {
    const waiting = new Waiting();
    const response = await waiting.begin();
    expect(response.headers.get("x-amzn-RequestId")).toBe("r");
    await vi.advanceTimersByTimeAsync(3_000);
    waiting.give(new Response('{"Messages":[]}'));
    await vi.advanceTimersByTimeAsync(0);
    expect(waiting.heard).toMatch(/^ {4}\{/);
    expect(JSON.parse(waiting.heard)).toEqual({ Messages: [] });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is XML without its declaration, which would have to come first", async () => {
    const waiting = new Waiting();
    await waiting.begin();
    waiting.give(new Response('<?xml version="1.0"?><a/>'));
    await vi.advanceTimersByTimeAsync(0);
    expect(waiting.heard).toBe(" <a/>");
  });

  it("says nothing where it would be a refusal", async () => {
    const waiting = new Waiting("<nothing/>");
    const response = await waiting.begin();
    waiting.give(new Response("<Error/>", { status: 400 }));
    await vi.advanceTimersByTimeAsync(0);
    expect(response.status).toBe(200);
    expect(waiting.heard).toBe(" <nothing/>");
  });

  it("may carry a refusal, as a success", async () => {
    const waiting = new Waiting("{}", async (refusal) => `{"was":${refusal.status}}`);
    const response = await waiting.begin();
    waiting.give(new Response("no", { status: 404 }));
    await vi.advanceTimersByTimeAsync(0);
    expect(response.status).toBe(200);
    expect(waiting.heard).toBe(' {"was":404}');
  });

  it("tells when the client has gone, and then no more", async () => {
    const waiting = new Waiting();
    await waiting.begin();
    expect(waiting.isGone).toBe(false);
    await waiting.go();
    expect(waiting.isGone).toBe(true);
    waiting.give(new Response("{}"));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(waiting.heard).toBe(" ");
    expect(vi.getTimerCount()).toBe(0);
  });
});
