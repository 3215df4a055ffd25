import { describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/protocol/limits.ts";
import { roomOf, Unread } from "../../../src/protocol/unread.ts";

const MIB = 1024 ** 2;

/** Has been sent so many deliveries of a MiB, under the leases 1, 2, … */
function sent(deliveries: number): Unread {
  const unread = new Unread();
  for (let lease = 1; lease <= deliveries; lease++) unread.delivered(MIB, lease);
  return unread;
}

describe("what a peer has not shown to have read", () => {
  it("is all that it was sent, until it names a lease that only a reader knows", () => {
    const unread = sent(4);
    expect(unread.isStalled).toBe(true);
    expect(unread.settled(99)).toBe(false);
    expect(unread.settled(3)).toBe(true);
    expect(unread.isStalled).toBe(false);
    expect(unread.bytes).toBe(MIB + 64);
    // The same word again proves nothing more.
    unread.delivered(MIB, 5);
    expect(unread.settled(3)).toBe(false);
    expect(unread.settled(5)).toBe(true);
    expect(unread.bytes).toBe(0);
  });

  it("asks for a sign with each quarter of the bound, and takes it for all before the mark", () => {
    const unread = new Unread();
    unread.delivered(MIB - 100, 1);
    expect(unread.wantsMark).toBe(false);
    unread.answered(100);
    expect(unread.wantsMark).toBe(true);
    unread.marked(7);
    expect(unread.wantsMark).toBe(false);
    unread.answered(10);
    expect(unread.reached(8)).toBe(false);
    expect(unread.reached(7)).toBe(true);
    expect(unread.bytes).toBe(74);
  });

  it("makes a peer deaf by its answers alone, whatever it is delivered", () => {
    const unread = sent(20);
    expect(unread.isDeaf).toBe(false);
    unread.answered(LIMITS.unreadAnswersMax - 100);
    expect(unread.isDeaf).toBe(false);
    unread.answered(100);
    expect(unread.isDeaf).toBe(true);
    unread.marked(1);
    expect(unread.reached(1)).toBe(true);
    expect(unread.isDeaf).toBe(false);
  });

  it("outlives sleep, and what proves it does, too", () => {
    const woken = new Unread(sent(4).save());
    expect(woken.isStalled).toBe(true);
    expect(woken.settled(1)).toBe(false);
    expect(woken.settled(4)).toBe(true);
    expect(woken.bytes).toBe(0);
  });

  it("leaves a consumer less room where all of them leave much unread, and none in the end", () => {
    const unread = sent(1);
    expect(roomOf(unread, 0)).toBe(LIMITS.unreadBytesMax - unread.bytes);
    expect(roomOf(unread, LIMITS.unreadQueueBytesMax)).toBe(0);
    expect(roomOf(new Unread(), LIMITS.unreadQueueBytesMax)).toBe(LIMITS.unreadShareMax);
    expect(roomOf(new Unread(), 2 * LIMITS.unreadQueueBytesMax)).toBe(0);
  });
});
