/** The HTTP side: one method, which speaks JSON, keeps the time, and turns every failure into a MillraceError. */
import { Backoff } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import { errorOfProblem, isMillraceError, MillraceError } from "./errors.ts";

export type TokenSource = string | (() => string | Promise<string>);

export type FetchFunction = (url: string, init: RequestInit) => Promise<Response>;

export interface HttpOptions {
  /** Scheme, host and perhaps a path, without a trailing slash. */
  readonly baseUrl: string;
  readonly token: TokenSource | undefined;
  readonly timeoutMs: number;
  readonly fetch: FetchFunction;
  readonly clock: Clock;
  /** The broker, or what stands for it, has answered a request. */
  readonly reached: () => void;
}

export interface HttpRequest {
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly json?: unknown;
  /** Added to the client's `timeoutMs`: a wait that the broker was asked for. */
  readonly longerMs?: number;
  /** Carrying it out twice does no harm, so it is tried again when the broker is away. */
  readonly repeatable?: boolean;
}

const TRIES_MAX = 4;

export async function resolveToken(token: TokenSource | undefined): Promise<string | undefined> {
  return typeof token === "function" ? await token() : token;
}

export class Http {
  private readonly options: HttpOptions;
  private readonly closing = new AbortController();

  constructor(options: HttpOptions) {
    this.options = options;
  }

  /** Ends every request under way with `closed`. */
  close(): void {
    this.closing.abort();
  }

  async json<T>(method: string, path: string, request: HttpRequest = {}): Promise<T> {
    const bytes = await this.bytes(method, path, request);
    return (bytes.length === 0 ? undefined : JSON.parse(new TextDecoder().decode(bytes))) as T;
  }

  async bytes(method: string, path: string, request: HttpRequest = {}): Promise<Uint8Array> {
    const { clock } = this.options;
    const deadlineMs = clock.now() + this.options.timeoutMs + (request.longerMs ?? 0);
    const backoff = new Backoff({ baseMs: 200, maxMs: 5_000, attemptsMax: TRIES_MAX - 1 }, () =>
      clock.random(),
    );
    for (;;) {
      try {
        return await this.once(method, path, request, deadlineMs);
      } catch (error) {
        const again = request.repeatable === true && isMillraceError(error) && isPassing(error);
        const waitMs = again ? backoff.next() : null;
        if (waitMs === null || clock.now() + waitMs >= deadlineMs) throw error;
        await new Promise<void>((resolve) => clock.after(waitMs, resolve));
      }
    }
  }

  private async once(
    method: string,
    path: string,
    request: HttpRequest,
    deadlineMs: number,
  ): Promise<Uint8Array> {
    const { clock, baseUrl, fetch } = this.options;
    if (this.closing.signal.aborted) throw new MillraceError("closed", "the client is closed");
    const abort = new AbortController();
    const stop = (): void => abort.abort();
    this.closing.signal.addEventListener("abort", stop);
    let isLate = false;
    const cancelTimer = clock.after(Math.max(0, deadlineMs - clock.now()), () => {
      isLate = true;
      abort.abort();
    });
    try {
      const token = await resolveToken(this.options.token);
      const headers: Record<string, string> = { accept: "application/json" };
      if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
      const init: RequestInit = { method, headers, signal: abort.signal };
      if (request.json !== undefined) {
        headers["content-type"] = "application/json";
        init.body = JSON.stringify(request.json);
      }
      const response = await fetch(baseUrl + path + queryText(request.query), init);
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (response.status < 500) this.options.reached();
      if (response.ok) return bytes;
      throw errorOfProblem(response.status, parseJson(bytes));
    } catch (error) {
      if (isMillraceError(error)) throw error;
      if (this.closing.signal.aborted) throw new MillraceError("closed", "the client was closed");
      const facts = { outcome: "unknown" };
      if (isLate) throw new MillraceError("timeout", `${method} ${path}: no answer in time`, { facts });
      throw new MillraceError("disconnected", `${method} ${path}: no connection`, { facts, cause: error });
    } finally {
      cancelTimer();
      this.closing.signal.removeEventListener("abort", stop);
    }
  }
}

/** The broker or the way to it failed; the request itself was not judged. */
function isPassing(error: MillraceError): boolean {
  return error.code === "disconnected" || error.code === "unavailable" || error.code === "internal";
}

function queryText(query: HttpRequest["query"]): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
