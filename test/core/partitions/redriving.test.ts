// A redrive over several partitions: who is asked for what, and what all of them answer together.
import { describe, expect, it } from "vitest";
import type { RedriveCommand, RedriveStatus } from "../../../src/protocol/commands.ts";
import { ok, refuse, type Result } from "../../../src/protocol/result.ts";
import type { PartitionApi } from "../../../src/protocol/rpc.ts";
import { mergeRedriveLists, mergeRedrives } from "../../../src/partitions/merge.ts";
import { redriveAll } from "../../../src/partitions/redriving.ts";

const part = (changes: Partial<RedriveStatus>): RedriveStatus => ({
  task: 1,
  state: "done",
  scanned: 4,
  matched: 3,
  moved: 2,
  startedMs: 100,
  total: 10,
  ...changes,
});

/** Partitions that answer a redrive with what was asked of them, and have these tasks. */
function partitions(tasks: readonly (readonly RedriveStatus[])[]) {
  const asked: [partition: number, RedriveCommand][] = [];
  const parts = tasks.map((own, i) => ({
    redrives: async (limit: number): Promise<Result<RedriveStatus[]>> => ok(own.slice(0, limit)),
    redrive: async (command: RedriveCommand): Promise<Result<RedriveStatus>> => {
      asked.push([i, command]);
      const { ratePerSecond, task = 7 } = command;
      const rate = ratePerSecond === undefined ? {} : { ratePerSecond };
      return ok(part({ task: command.dryRun ? null : task, ...rate }));
    },
  }));
  const start = (command: Partial<RedriveCommand>) =>
    redriveAll(
      (i) => parts[i] as unknown as PartitionApi,
      { filter: {}, dryRun: false, ...command },
      tasks.length,
    );
  return { asked, start };
}

describe("a redrive over partitions", () => {
  it("shares out its rate, and tells the whole of it", async () => {
    const { asked, start } = partitions([[], [], []]);
    const answer = await start({ ratePerSecond: 1, all: true, to: "x" });
    expect(answer).toMatchObject({
      value: { task: 7, scanned: 12, matched: 9, moved: 6, total: 30, ratePerSecond: 1 },
    });
    expect(asked.map(([, command]) => command)).toMatchObject([
      { ratePerSecond: 1 / 3, all: true, to: "x" },
      { ratePerSecond: 1 / 3, all: true, to: "x", task: 7 },
      { ratePerSecond: 1 / 3, all: true, to: "x", task: 7 },
    ]);
  });

  it.each([0.1, 7, 123.456, 1_000_000])("tells a rate of %d as it was asked for", async (ratePerSecond) => {
    for (const count of [2, 3, 7, 31]) {
      const { start } = partitions(Array.from({ length: count }, () => []));
      expect(await start({ ratePerSecond })).toMatchObject({ value: { ratePerSecond } });
    }
  });

  it("tells no rate where none was asked for", async () => {
    const answer = await partitions([[], []]).start({});
    expect(answer.ok && answer.value).not.toHaveProperty("ratePerSecond");
  });

  it("that wants to be alone begins nowhere while another goes on anywhere, behind newer ones too", async () => {
    const tasks = [[part({ task: 1 })], [part({ task: 2 }), part({ task: 1, state: "running" })]];
    const { asked, start } = partitions(tasks);
    expect(await start({ alone: true })).toMatchObject({ ok: false, code: "redrive_running" });
    expect(asked).toEqual([]);
    expect(await start({ alone: true, dryRun: true })).toMatchObject({ ok: true });
    expect(await start({})).toMatchObject({ ok: true });
    expect(await partitions([[part({})], []]).start({ alone: true })).toMatchObject({ ok: true });
  });
});

describe("the answers of partitions about redrives", () => {
  it("are one status: running while one runs, begun when the first began", () => {
    const answers = [part({ startedMs: 5, to: "x" }), part({ state: "running", startedMs: 9 })].map((one) =>
      ok(one),
    );
    expect(mergeRedrives([...answers, refuse("task_not_found", "task: is not here")])).toEqual(
      ok(part({ state: "running", startedMs: 5, to: "x", scanned: 8, matched: 6, moved: 4, total: 20 })),
    );
  });

  it("are one list, each task once, the newest first and no more than were asked for", () => {
    const lists = [
      [part({ task: 3 }), part({ task: 1 })],
      [part({ task: 4 }), part({ task: 3, state: "running" })],
    ].map((list) => ok(list));
    const merged = mergeRedriveLists(lists, 9);
    expect(merged.ok && merged.value).toEqual([
      part({ task: 4 }),
      part({ task: 3, state: "running", scanned: 8, matched: 6, moved: 4, total: 20 }),
      part({ task: 1 }),
    ]);
    const short = mergeRedriveLists(lists, 1);
    expect(short.ok && short.value.map(({ task }) => task)).toEqual([4]);
    expect(mergeRedriveLists([...lists, refuse("unavailable", "away")], 9)).toMatchObject({
      code: "unavailable",
    });
  });
});
