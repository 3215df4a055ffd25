// The consumers' processes, and the account of what they said.
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Report } from "./worker.ts";

export class Crew {
  /** How often each message was acked. Anything but 1 is a mistake of the broker. */
  readonly acks = new Map<string, number>();
  failures = 0;
  crashes = 0;
  private readonly members = new Map<ChildProcess, string>();
  private readonly url: string;
  private readonly say: (text: string) => void;
  private readonly always: readonly string[];

  /** `always`: options of every consumer. */
  constructor(url: string, say: (text: string) => void, always: readonly string[] = []) {
    this.url = url;
    this.say = say;
    this.always = always;
  }

  hire(name: string, options: readonly string[] = []): void {
    const args = ["--url", this.url, "--name", name, ...this.always, ...options];
    const child = fork(join(import.meta.dirname, "worker.ts"), args, {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.members.set(child, name);
    child.on("message", (report: Report) => this.note(name, report));
    child.on("exit", (_code, signal) => {
      this.members.delete(child);
      if (signal !== "SIGKILL") return;
      this.crashes++;
      this.say(`  ✗ ${name} was killed; a replacement starts`);
      this.hire(`${name}-again`);
    });
  }

  private note(name: string, report: Report): void {
    if (report.type === "acked") this.acks.set(report.id, (this.acks.get(report.id) ?? 0) + 1);
    else if (report.type === "failed") this.failures++;
    else this.say(`  ✗ ${name} crashes with ${report.held} messages in hand`);
  }

  /** Lets everyone finish what they hold and go. */
  async dismiss(): Promise<void> {
    await Promise.all(
      [...this.members.keys()].map(async (child) => {
        const ended = once(child, "exit");
        child.send("drain");
        await ended;
      }),
    );
  }

  kill(): void {
    for (const child of this.members.keys()) {
      child.removeAllListeners("exit");
      child.kill("SIGKILL");
    }
  }
}
