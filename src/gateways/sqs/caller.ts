// Who calls an action, and what actions are.
import type { BatchCodec } from "../../protocol/batch.ts";
import type { Broker } from "../../protocol/gateway.ts";
import type { Answer } from "./errors.ts";
import type { AttributeValue } from "./message-attributes.ts";
import type { ActionName, InputOf, OutputOf } from "./shapes.ts";

export interface Caller {
  readonly broker: Broker;
  readonly codec: BatchCodec;
  /** Where the caller reached the broker: URLs of queues begin with it. */
  readonly origin: string;
  /** Of the request's signature; ARNs name it. */
  readonly region: string;
  /** How long a purge and a deleted queue's name rest. */
  readonly restMs: number;
  /** What the request's own header says of the trace it belongs to. */
  readonly trace: AttributeValue | undefined;
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal;
}

export type Action<A extends ActionName> = (
  input: InputOf<A>,
  caller: Caller,
) => Promise<Answer<OutputOf<A>>>;

export type Actions<A extends ActionName = ActionName> = { readonly [Name in A]: Action<Name> };
