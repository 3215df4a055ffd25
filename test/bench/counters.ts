/** What a run is billed for, counted inside the broker by counting/worker.ts, and how much of it a flow needed. */

export interface Counters {
  /** By SQLite's cursors, as they are billed, and one for each alarm that was set. */
  rowsWritten: number;
  rowsRead: number;
  alarmsSet: number;
  /** Calls of a method of an object, from the Worker or from another object. */
  calls: number;
  /** HTTP requests to objects: one for each socket. */
  fetches: number;
  alarms: number;
  /** WebSocket frames that objects were woken for. A bare ping is answered by the runtime and not seen here. */
  frames: number;
  workerRequests: number;
  /** Instances of objects that were made. */
  wakes: number;
  /** For how long objects had something to answer: the sum over objects, as it is billed. */
  activeMs: number;
  /** `rowsWritten` by the class of the object and its table. */
  rowsWrittenBy: Record<string, number>;
}

export function noCounts(): Counters {
  const counts = { rowsWritten: 0, rowsRead: 0, alarmsSet: 0, calls: 0, fetches: 0, alarms: 0, frames: 0 };
  return { ...counts, workerRequests: 0, wakes: 0, activeMs: 0, rowsWrittenBy: {} };
}

export function countsBetween(before: Counters, after: Counters): Counters {
  const rowsWrittenBy: Record<string, number> = {};
  for (const [name, rows] of Object.entries(after.rowsWrittenBy)) {
    const written = rows - (before.rowsWrittenBy[name] ?? 0);
    if (written > 0) rowsWrittenBy[name] = written;
  }
  return {
    rowsWritten: after.rowsWritten - before.rowsWritten,
    rowsRead: after.rowsRead - before.rowsRead,
    alarmsSet: after.alarmsSet - before.alarmsSet,
    calls: after.calls - before.calls,
    fetches: after.fetches - before.fetches,
    alarms: after.alarms - before.alarms,
    frames: after.frames - before.frames,
    workerRequests: after.workerRequests - before.workerRequests,
    wakes: after.wakes - before.wakes,
    activeMs: after.activeMs - before.activeMs,
    rowsWrittenBy,
  };
}

/** As they are billed: each call of a method is one, twenty frames are one. */
export function objectRequests({ calls, fetches, alarms, frames }: Counters): number {
  return calls + fetches + alarms + frames / 20;
}
