// The package in a project, as `npm link` would put it there.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export function link(root: string, project: string): void {
  mkdirSync(join(project, "node_modules"), { recursive: true });
  symlinkSync(root, join(project, "node_modules/millrace"), "dir");
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
}
