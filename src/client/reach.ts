/**
 * What the sockets of one client know together about the way to the broker. One of them learns that it is open again, or
 * that it may be broken, and tells the others, which then need not find it out by themselves.
 */
export interface Reacher {
  /** The broker was reached just now: a socket that waits to be made tries at once. `isNew`: so does one that has tried. */
  retry(isNew: boolean): void;
  /** The way may be broken: a socket that is open asks for a sign of life. */
  probe(): void;
}

/** What browsers have for the end of an outage. */
interface OnlineEvents {
  addEventListener(type: "online", listener: () => void): void;
  removeEventListener(type: "online", listener: () => void): void;
}

export class Reach {
  private readonly sockets = new Set<Reacher>();
  private stopListening: (() => void) | null = null;

  add(socket: Reacher): void {
    this.sockets.add(socket);
    this.stopListening ??= listen(() => this.online());
  }

  remove(socket: Reacher): void {
    this.sockets.delete(socket);
    if (this.sockets.size > 0) return;
    this.stopListening?.();
    this.stopListening = null;
  }

  /** The broker has answered one of them, or an HTTP request. */
  reached(by?: Reacher): void {
    for (const socket of this.sockets) if (socket !== by) socket.retry(false);
  }

  /** One of them was lost without a goodbye. */
  doubted(by: Reacher): void {
    for (const socket of this.sockets) if (socket !== by) socket.probe();
  }

  /** The platform says that the network is back. What was open before may have lost its other end. */
  private online(): void {
    for (const socket of this.sockets) {
      socket.probe();
      socket.retry(true);
    }
  }
}

/** Null where the platform doesn't tell. */
function listen(heard: () => void): (() => void) | null {
  const { navigator, addEventListener } = globalThis as { navigator?: object } & Partial<OnlineEvents>;
  if (navigator === undefined || !("onLine" in navigator) || addEventListener === undefined) return null;
  const events = globalThis as unknown as OnlineEvents;
  events.addEventListener("online", heard);
  return () => events.removeEventListener("online", heard);
}
