// One redrive over all partitions of a queue.
import type { RedriveCommand, RedriveStatus } from "../protocol/commands.ts";
import { refuse, type Refusal, type Result } from "../protocol/result.ts";
import type { PartitionApi } from "../protocol/rpc.ts";
import { mergeRedrives } from "./merge.ts";

/** The rate is shared out evenly; a limit is used up partition by partition. All have the task number of the head. */
export async function redriveAll(
  part: (partition: number) => PartitionApi,
  { limit, ratePerSecond, ...command }: RedriveCommand,
  partitions: number,
): Promise<Result<RedriveStatus>> {
  // Before any begins: where a later one refused, the earlier would be under way.
  const refused = command.alone === true && !command.dryRun ? await refuseBeside(part, partitions) : null;
  if (refused) return refused;
  const rate = ratePerSecond === undefined ? {} : { ratePerSecond: ratePerSecond / partitions };
  const answers: Result<RedriveStatus>[] = [];
  let task: number | null = null;
  let left = limit;
  for (let i = 0; i < partitions && left !== 0; i++) {
    const own: RedriveCommand = {
      ...command,
      ...rate,
      ...(left === undefined ? {} : { limit: left }),
      ...(task === null ? {} : { task }),
    };
    if (left !== undefined) {
      const dry = await part(i).redrive({ ...own, dryRun: true }, partitions);
      if (!dry.ok) return dry;
      left -= dry.value.matched;
    }
    const answer = await part(i).redrive(own, partitions);
    if (!answer.ok) return answer;
    task ??= answer.value.task;
    answers.push(answer);
  }
  return mergeRedrives(answers);
}

/** More than a partition has under way, but for one that is asked for much. */
const LOOKED_AT_MAX = 100;

async function refuseBeside(
  part: (partition: number) => PartitionApi,
  partitions: number,
): Promise<Refusal | null> {
  for (let i = 0; i < partitions; i++) {
    const tasks = await part(i).redrives(LOOKED_AT_MAX, partitions);
    if (!tasks.ok) return tasks;
    if (tasks.value.some(({ state }) => state === "running"))
      return refuse("redrive_running", `a redrive of partition ${i} is going on`);
  }
  return null;
}
