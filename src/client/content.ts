/** What a message carries, however it came: as a delivery, as an event of an exchange, or as a reply. */
import type { HeaderValue, MessageRecord } from "../protocol/batch.ts";
import type { DeathRecord } from "../protocol/commands.ts";

const decoder = new TextDecoder();

export abstract class Content {
  private decoded: MessageRecord | null = null;

  /** Decodes the record. Asked once, when a field is first read: most handlers read only a field or two. */
  protected abstract read(): MessageRecord;

  /** @internal */
  protected get record(): MessageRecord {
    return (this.decoded ??= this.read());
  }

  get body(): Uint8Array {
    return this.record.body;
  }
  get routingKey(): string | undefined {
    return this.record.routingKey;
  }
  get orderingKey(): string | undefined {
    return this.record.orderingKey;
  }
  get priority(): number {
    return this.record.priority ?? 0;
  }
  get ttlMs(): number | undefined {
    return this.record.ttlMs;
  }
  get dedupId(): string | undefined {
    return this.record.dedupId;
  }
  get cancelKey(): string | undefined {
    return this.record.cancelKey;
  }
  get correlationId(): string | undefined {
    return this.record.correlationId;
  }
  get replyTo(): string | undefined {
    return this.record.replyTo;
  }
  get contentType(): string | undefined {
    return this.record.contentType;
  }
  get headers(): Readonly<Record<string, HeaderValue>> {
    return this.record.headers ?? {};
  }
  /** On dead letters: why, where and after what the message died. */
  get death(): DeathRecord | undefined {
    return this.record.death === undefined ? undefined : (JSON.parse(this.record.death) as DeathRecord);
  }

  /** The body as UTF-8 text. */
  text(): string {
    return decoder.decode(this.body);
  }
  /** The body as JSON; what it holds is not checked. Throws SyntaxError when it is none. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- an assertion, spelt where it is least noise
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }
}
