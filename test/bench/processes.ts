/** Programs that a bench runs beside itself, and their folders. None outlives it, whichever way it ends. */
import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const START_MS_MAX = 60_000;
const STOP_MS_MAX = 10_000;

const running = new Set<ChildProcess>();
const folders = new Set<string>();

process.once("exit", () => {
  for (const child of running) killGroup(child, "SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));

export interface Program {
  readonly pid: number;
  /** The last of what it said. */
  output(): string;
  stop(): Promise<void>;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** In a process group of its own, so that what it starts ends with it. */
export function start(command: string, args: readonly string[], options: ProgramOptions = {}): Program {
  const child = spawn(command, args, {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
  });
  return programOf(child);
}

/** A Node program of ours, with a channel for messages. */
export function startNode(
  path: string,
  args: readonly string[],
  execArgv: readonly string[] = [],
): ChildProcess {
  const child = fork(path, args, { detached: true, execArgv: [...execArgv], serialization: "advanced" });
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

export function programOf(child: ChildProcess): Program {
  running.add(child);
  let said = "";
  const keep = (chunk: Buffer): void => void (said = (said + chunk.toString()).slice(-10_000));
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  child.once("error", (error) => (said += String(error)));
  child.once("exit", () => running.delete(child));
  return { pid: child.pid ?? 0, output: () => said, stop: () => stopChild(child) };
}

export async function stopChild(child: ChildProcess): Promise<void> {
  if (!running.has(child) || child.pid === undefined) return;
  const ended = once(child, "exit");
  killGroup(child, "SIGTERM");
  const timer = setTimeout(() => killGroup(child, "SIGKILL"), STOP_MS_MAX);
  await ended;
  clearTimeout(timer);
  // What it started and left behind.
  killGroup(child, "SIGKILL");
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // Gone already.
  }
}

/** Waits until the program takes connections. Throws with what it said when it ends before, or never does. */
export async function untilListening(program: Program, port: number): Promise<void> {
  const deadlineMs = Date.now() + START_MS_MAX;
  while (!(await takesConnections(port))) {
    if (!isAlive(program.pid) || Date.now() > deadlineMs) {
      await program.stop();
      throw new Error(`it did not start:\n${program.output()}`);
    }
    await sleep(100);
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function takesConnections(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

export { freePort } from "../../examples/demo/broker.ts";

/** Removed when the bench ends. */
export function freshFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `millrace-bench-${name}-`));
  folders.add(folder);
  return folder;
}
