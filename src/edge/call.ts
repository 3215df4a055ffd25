// Calls to objects. A refusal is a value; whatever is thrown is the platform's fault or ours.
import { refuse, type Result } from "../protocol/result.ts";
import type { EdgeContext } from "./services.ts";

export interface CallKind {
  /** For the log. */
  readonly method: string;
  /** Whose object is called; none of them: the namespace's. */
  readonly queue?: string;
  readonly exchange?: string;
  readonly hub?: string;
  /** Whether a second call after a lost answer does no harm: reads, stamped publishes, declarations. */
  readonly repeatable: boolean;
}

const ATTEMPTS_MAX = 3;
const UNAVAILABLE_RETRY_MS = 1_000;

/**
 * Makes the call and, when it is repeatable, makes it again after a fault that the platform calls retryable. An
 * overloaded object is left alone: a retry would be one more request for it to refuse. `attempt` takes a fresh stub
 * each time, because a stub that has thrown stays broken.
 */
export async function call<T>(
  context: EdgeContext,
  kind: CallKind,
  attempt: () => Promise<Result<T>>,
): Promise<Result<T>> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      const { retryable, overloaded } = faultOf(error);
      if (retryable && !overloaded && kind.repeatable && attempts < ATTEMPTS_MAX) continue;
      context.env.log("error", "call_failed", {
        method: kind.method,
        ...namesOf(kind),
        namespace: context.get("claims")?.namespace ?? "",
        attempts,
        retryable,
        overloaded,
        error: String(error),
      });
      if (!retryable && !overloaded)
        return refuse("internal", `${kind.method}: failed; the log has the cause`);
      return refuse(
        "unavailable",
        overloaded
          ? `${kind.method}: the ${calledOf(kind)} has more requests than it can take`
          : `${kind.method}: the connection to the ${calledOf(kind)} was lost; it may or may not have been done`,
        { retryAfterMs: UNAVAILABLE_RETRY_MS },
      );
    }
  }
}

const CALLED = ["queue", "exchange", "hub"] as const;

function calledOf(kind: CallKind): string {
  return CALLED.find((called) => kind[called] !== undefined) ?? "namespace";
}

function namesOf(kind: CallKind): Record<string, string> {
  return Object.fromEntries(CALLED.map((called) => [called, kind[called] ?? ""]).filter(([, name]) => name));
}

/** The two flags that Durable Objects set on what they throw (developers.cloudflare.com, error handling). */
function faultOf(error: unknown): { retryable: boolean; overloaded: boolean } {
  if (typeof error !== "object" || error === null) return { retryable: false, overloaded: false };
  return {
    retryable: "retryable" in error && error.retryable === true,
    overloaded: "overloaded" in error && error.overloaded === true,
  };
}
