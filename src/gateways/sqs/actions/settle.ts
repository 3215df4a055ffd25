// DeleteMessage and ChangeMessageVisibility, and both for batches.
import type { Settlement, SettlementResult } from "../../../protocol/commands.ts";
import { failuresOf, refuseBatch, type BatchOutcome } from "../batches.ts";
import type { Actions, Caller } from "../caller.ts";
import { answered, sqsRefusal, type Answer, type SqsRefusal } from "../errors.ts";
import { isFifo, queueOfUrl, readReceiptHandle, type Handle } from "../identifiers.ts";
import { invalid, missing, VISIBILITY_SECONDS_MAX } from "../parameters.ts";
import { sqsRefusalOf } from "../refusals.ts";

type SettleAction =
  "DeleteMessage" | "DeleteMessageBatch" | "ChangeMessageVisibility" | "ChangeMessageVisibilityBatch";

type Void = Readonly<Record<string, never>>;

export const settleActions: Actions<SettleAction> = {
  async DeleteMessage({ QueueUrl, ReceiptHandle }, caller) {
    return settleOne(queueOfUrl(QueueUrl), deletion(ReceiptHandle), caller);
  },

  async ChangeMessageVisibility({ QueueUrl, ReceiptHandle, VisibilityTimeout }, caller) {
    return settleOne(queueOfUrl(QueueUrl), change(ReceiptHandle, VisibilityTimeout), caller);
  },

  async DeleteMessageBatch({ QueueUrl, Entries }, caller) {
    const refused = refuseBatch(Entries, "DeleteMessageBatchRequestEntry");
    if (refused !== null) return refused;
    return settleBatch(
      queueOfUrl(QueueUrl),
      Entries.map(({ Id, ReceiptHandle }) => ({ id: Id, wish: deletion(ReceiptHandle) })),
      caller,
    );
  },

  async ChangeMessageVisibilityBatch({ QueueUrl, Entries }, caller) {
    const refused = refuseBatch(Entries, "ChangeMessageVisibilityBatchRequestEntry");
    if (refused !== null) return refused;
    return settleBatch(
      queueOfUrl(QueueUrl),
      Entries.map(({ Id, ReceiptHandle, VisibilityTimeout }) => ({
        id: Id,
        wish: change(ReceiptHandle, VisibilityTimeout),
      })),
      caller,
    );
  },
};

/** Turns what was said into what the queue is told. */
type Wish = (queue: string) => Answer<Ask>;

interface Ask {
  readonly settlement: Settlement;
  /** What the queue's answer comes to. */
  judge(result: SettlementResult): SqsRefusal | null;
}

function deletion(given: string | undefined): Wish {
  return (queue) => {
    const receipt = receiptOf(queue, given);
    if (!receipt.ok) return receipt;
    const fifo = isFifo(queue);
    const { sequence, handle, ...held } = receipt.value;
    // Elsewhere than in FIFO queues a delete that comes late counts, while nobody else has the message.
    const late = fifo ? {} : { late: true };
    return answered({
      settlement: { ...held, sequences: [[sequence, 1]], verdict: "ack", ...late },
      judge: ({ refused }) =>
        refused.length > 0 && fifo
          ? invalid("ReceiptHandle", handle, "The receipt handle has expired.")
          : null,
    });
  };
}

function change(given: string | undefined, timeout: number | undefined): Wish {
  return (queue) => {
    const receipt = receiptOf(queue, given);
    if (!receipt.ok) return receipt;
    if (timeout === undefined) return missing("VisibilityTimeout");
    if (timeout < 0 || timeout > VISIBILITY_SECONDS_MAX) {
      return invalid(
        "VisibilityTimeout",
        timeout,
        `VisibilityTimeout must be an integer between 0 and ${VISIBILITY_SECONDS_MAX}.`,
      );
    }
    const { sequence, handle, ...held } = receipt.value;
    const late = isFifo(queue) ? {} : { late: true };
    const at = { ...held, sequences: [[sequence, 1]] as const, ...late };
    const settlement: Settlement =
      timeout === 0
        ? // A receive that ends so counts, as one whose time runs out does.
          { ...at, verdict: "reject", delayMs: 0, error: "its visibility timeout was set to 0" }
        : { ...at, verdict: "extend", leaseMs: timeout * 1_000 };
    return answered({
      settlement,
      judge: ({ refused, isCut }) => judgeChange(handle, timeout, refused.length > 0, isCut === true),
    });
  };
}

function judgeChange(handle: string, timeout: number, isRefused: boolean, isCut: boolean): SqsRefusal | null {
  if (isRefused) {
    return invalid(
      "ReceiptHandle",
      handle,
      "Message does not exist or is not available for visibility timeout change.",
    );
  }
  return isCut
    ? invalid(
        "VisibilityTimeout",
        timeout,
        `Total VisibilityTimeout for the message is beyond the limit [${VISIBILITY_SECONDS_MAX} seconds]`,
      )
    : null;
}

function receiptOf(queue: string, handle = ""): Answer<Handle & { handle: string }> {
  if (handle === "") return missing("ReceiptHandle");
  const receipt = readReceiptHandle(queue, handle);
  return receipt === null
    ? sqsRefusal(
        "ReceiptHandleIsInvalid",
        `The input receipt handle "${handle}" is not a valid receipt handle.`,
      )
    : answered({ ...receipt, handle });
}

async function settleOne(queue: string, wish: Wish, caller: Caller): Promise<Answer<Void>> {
  const ask = wish(queue);
  const settled = await settle(queue, ask.ok ? [ask.value] : [], caller);
  if (!settled.ok) return settled;
  return ask.ok ? settled.value[0]! : ask;
}

async function settleBatch(
  queue: string,
  entries: readonly { readonly id: string; readonly wish: Wish }[],
  caller: Caller,
): Promise<Answer<{ Successful: { Id: string }[]; Failed: ReturnType<typeof failuresOf> }>> {
  const asked = entries.map(({ wish }) => wish(queue));
  const asks = asked.flatMap((one) => (one.ok ? [one.value] : []));
  const settled = await settle(queue, asks, caller);
  if (!settled.ok) return settled;
  const answers = settled.value.values();
  const outcomes = asked.map((one, i): BatchOutcome<Void> => ({
    id: entries[i]!.id,
    answer: one.ok ? answers.next().value! : one,
  }));
  return answered({
    Successful: outcomes.flatMap(({ id, answer }) => (answer.ok ? [{ Id: id }] : [])),
    Failed: failuresOf(outcomes),
  });
}

/** Asks the queue even when nothing is left to ask: one that is not there is told before what is wrong with a handle. */
async function settle(
  queue: string,
  asks: readonly Ask[],
  { broker }: Caller,
): Promise<Answer<Answer<Void>[]>> {
  const { subject } = broker.claims;
  const results = await broker.ask({
    queue,
    verbs: ["consume"],
    method: "settle",
    repeatable: true,
    run: (stub) => stub.settle(asks.map(({ settlement }) => ({ ...settlement, subject }))),
  });
  if (!results.ok) return sqsRefusalOf(results);
  return answered(asks.map((ask, i) => ask.judge(results.value[i]!) ?? answered({})));
}
