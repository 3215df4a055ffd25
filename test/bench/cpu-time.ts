/** On a machine that is shared with others the clock tells how busy they are; the CPU time of this process does not. */
export function cpuMicrosOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}
