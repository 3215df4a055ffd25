/**
 * The answer to who waits for a message. A client that goes away closes its connection, which by itself looks like one
 * that has said all it had to say; only who writes to it learns that nobody reads any more. So spaces are written while
 * nothing comes, which JSON and XML allow in front of a document, and who is gone is not given a message that then nobody
 * has.
 */
import type { Held } from "../protocol/gateway.ts";

/** Who is gone is known after one or two. */
const BEAT_MS = 1_000;

/** XML is XML without it, and with it must begin with it. */
const DECLARATION = /^<\?xml [^>]*>/;

const encoder = new TextEncoder();
const SPACE = encoder.encode(" ");

/** `answer` as it is when it comes soon. Later it is an answer already begun, which can't become a refusal. */
export async function holdAnswer(
  answer: Promise<Response>,
  { nothing, late = () => nothing().text(), onGone }: Held,
): Promise<Response> {
  const soon = await firstOf(answer);
  if (soon !== null) return soon;
  let timer: ReturnType<typeof setInterval> | undefined;
  let isGone = false;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(SPACE);
      timer = setInterval(() => controller.enqueue(SPACE), BEAT_MS);
      const end = async (): Promise<void> => {
        const response = await answer;
        const text = await (response.ok ? response.text() : late(response));
        clearInterval(timer);
        if (isGone) return;
        controller.enqueue(encoder.encode(text.replace(DECLARATION, "")));
        controller.close();
      };
      end().catch((error: unknown) => {
        clearInterval(timer);
        if (!isGone) controller.error(error);
      });
    },
    cancel() {
      isGone = true;
      clearInterval(timer);
      onGone();
    },
  });
  return new Response(body, { headers: nothing().headers });
}

async function firstOf(answer: Promise<Response>): Promise<Response | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), BEAT_MS);
  });
  const first = await Promise.race([answer, late]);
  clearTimeout(timer);
  return first;
}
