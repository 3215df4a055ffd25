/**
 * A Cloudflare Worker's socket belongs to the request that opened it. Another request can't send on it, and what its
 * events settle is settled for the first request alone, so a client that requests share grows slower and slower. It is
 * refused with words instead. Elsewhere, in a Durable Object too, there is nothing to be told apart.
 */
import { MillraceError } from "./errors.ts";

/** The end of a pair belongs to a request as well, and says so when another one looks at it. */
interface Mark {
  readonly readyState: number;
}

interface WorkersPlatform {
  readonly navigator?: { readonly userAgent?: string };
  readonly WebSocketPair?: new () => Readonly<Record<0 | 1, Mark>>;
}

export class RequestContext {
  private mark: Mark | null = null;

  /** Throws `bad_request` when the client was used by another request before. */
  check(): void {
    this.mark ??= newMark();
    if (this.mark === null) return;
    try {
      void this.mark.readyState;
    } catch (error) {
      throw new MillraceError(
        "bad_request",
        "client: was used by another request, and a Worker's sockets belong to the request that opened them; " +
          "connect in each request, and drain the client before it ends",
        { cause: error },
      );
    }
  }
}

function newMark(): Mark | null {
  const { navigator, WebSocketPair } = globalThis as WorkersPlatform;
  if (navigator?.userAgent !== "Cloudflare-Workers" || WebSocketPair === undefined) return null;
  try {
    return new WebSocketPair()[0];
  } catch {
    // Outside of any request.
    return null;
  }
}
