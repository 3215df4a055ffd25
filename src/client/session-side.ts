/** What a client does over its session. Each part is made when it is first used. */
import { parseName } from "../protocol/names.ts";
import { errorOfRefusal, type MillraceError } from "./errors.ts";
import { Exchange } from "./exchange.ts";
import { ExchangePublisher } from "./exchange-publisher.ts";
import type { Http } from "./http.ts";
import { Presences } from "./presence.ts";
import type { PublisherOptions } from "./publisher-options.ts";
import type { RequestContext } from "./request-context.ts";
import { Session, type SessionPorts } from "./session.ts";
import { Subscriptions } from "./subscriptions.ts";

export interface SessionSidePorts extends SessionPorts {
  readonly http: Http;
  readonly context: RequestContext;
  readonly publisher: PublisherOptions;
}

export class SessionSide {
  private readonly ports: SessionSidePorts;
  private readonly publishers = new Map<string, ExchangePublisher>();
  private parts: { session: Session; subscriptions: Subscriptions; presences: Presences } | null = null;
  private closedBy: MillraceError | null = null;

  constructor(ports: SessionSidePorts) {
    this.ports = ports;
  }

  /** Throws `closed`, and `bad_request` when the platform has no WebSocket. */
  private get open(): NonNullable<SessionSide["parts"]> {
    this.ports.context.check();
    if (this.closedBy !== null) throw this.closedBy;
    if (this.parts === null) {
      const session = new Session(this.ports);
      this.parts = {
        session,
        subscriptions: new Subscriptions(session),
        presences: new Presences(session),
      };
    }
    return this.parts;
  }

  get session(): Session {
    return this.open.session;
  }

  exchange(name: string): Exchange {
    const parsed = parseName("exchange", name);
    if (!parsed.ok) throw errorOfRefusal(parsed);
    return new Exchange(name, {
      http: this.ports.http,
      publisher: () => this.publisher(name),
      subscribe: (pattern, handler, options, bufferEvents) =>
        this.open.subscriptions.subscribe({ exchange: name, pattern }, handler, options, bufferEvents),
      presence: async (pattern) => this.open.presences.ask(name, pattern),
      watch: (pattern, handler) => this.open.presences.watch(name, pattern, handler),
    });
  }

  private publisher(exchange: string): ExchangePublisher {
    this.ports.context.check();
    let publisher = this.publishers.get(exchange);
    if (publisher === undefined) {
      publisher = new ExchangePublisher(exchange, this.session, this.ports.publisher);
      this.publishers.set(exchange, publisher);
    }
    return publisher;
  }

  /** Resolves when all subscriptions have handled what they have; rejects when one did not end well. */
  async drain(options: { timeoutMs?: number }): Promise<void> {
    await this.parts?.subscriptions.drain(options);
  }

  /** Resolves when everything published is confirmed or rejected and every call answered, or when the time is over. */
  async flush(timeoutMs: number): Promise<void> {
    if (this.parts === null) return;
    const { session, presences } = this.parts;
    await Promise.all([...this.publishers.values()].map((publisher) => publisher.flush()));
    presences.end();
    let cancelTimer = (): void => undefined;
    const late = new Promise<void>((resolve) => (cancelTimer = session.clock.after(timeoutMs, resolve)));
    await Promise.race([session.whenIdle(), late]);
    cancelTimer();
  }

  close(error: MillraceError): void {
    this.closedBy ??= error;
    this.parts?.session.close(error);
  }
}
