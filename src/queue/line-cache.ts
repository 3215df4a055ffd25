/** The first rows of keys' lines in memory, bounded in bytes. Those that came first are dropped first. */
import type { Line } from "./line-rows.ts";

const BYTES_MAX = 4 * 1024 * 1024;
/** What an entry takes beside its key and its runs. */
const ENTRY_BYTES = 256;

export class LineCache {
  /** null: the key has no line. */
  private readonly heads = new Map<string, Line | null>();
  private bytes = 0;

  get bytesHeld(): number {
    return this.bytes;
  }

  /** undefined: it is not known. */
  get(key: string): Line | null | undefined {
    return this.heads.get(key);
  }

  set(key: string, line: Line | null): void {
    this.delete(key);
    this.heads.set(key, line);
    this.bytes += bytesOf(key, line);
    for (const [other] of this.heads) {
      if (this.bytes <= BYTES_MAX || other === key) return;
      this.delete(other);
    }
  }

  delete(key: string): void {
    const line = this.heads.get(key);
    if (line === undefined) return;
    this.bytes -= bytesOf(key, line);
    this.heads.delete(key);
  }
}

function bytesOf(key: string, line: Line | null): number {
  return ENTRY_BYTES + key.length * 2 + (line?.runBytes ?? 0);
}
