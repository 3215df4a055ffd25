/**
 * A hub's attachments to exchanges. Attaching and detaching one exchange happen one after the other, so that the last
 * word is the right one. A link is memory: after a wake the first need attaches again, which renews the lease.
 */
import type { Attachment } from "../protocol/exchange-rpc.ts";
import { ok, refuse, type Result } from "../protocol/result.ts";

export interface Link {
  isAttached: boolean;
  /** Tells this attachment from earlier ones; 0: none is known. */
  attachment: number;
  /** Events up to here have been told to the subscribers, or came before them. No epoch: not known since the wake. */
  epoch: string;
  offset: number;
  /** Where those begin who come now. What is under way to those who were here before may lie behind it. */
  place: { readonly epoch: string; readonly offset: number };
  /** The hub reports who subscribes. */
  presence: boolean;
  tail: Promise<unknown>;
}

export interface LinkPorts {
  attach(exchange: string): Promise<Result<Attachment>>;
  detach(exchange: string): Promise<unknown>;
  /** Whether anyone here still needs the exchange. */
  isWanted(exchange: string): boolean;
  /** The hub was dropped before this attachment began: those who subscribed in another must subscribe anew. */
  interrupted(exchange: string, attachment: number): void;
}

export class ExchangeLinks {
  private readonly ports: LinkPorts;
  private readonly links = new Map<string, Link>();

  constructor(ports: LinkPorts) {
    this.ports = ports;
  }

  get(exchange: string): Link | null {
    return this.links.get(exchange) ?? null;
  }

  /** The exchanges that push here, as far as this instance knows. */
  names(): string[] {
    return [...this.links.keys()];
  }

  /** Makes sure that the exchange pushes here; the place from which on it does. */
  ensure(exchange: string): Promise<Result<Link>> {
    const link = this.linkOf(exchange);
    return this.inOrder(link, () => {
      if (this.isLeft(exchange, link)) return this.ensure(exchange);
      return link.isAttached ? Promise.resolve(ok(link)) : this.attach(exchange, link);
    });
  }

  /** Renews the lease. */
  renew(exchange: string): Promise<Result<Link>> {
    const link = this.linkOf(exchange);
    return this.inOrder(link, () =>
      this.isLeft(exchange, link) ? this.renew(exchange) : this.attach(exchange, link),
    );
  }

  /** Let go of while somebody waited for it. */
  private isLeft(exchange: string, link: Link): boolean {
    return this.links.get(exchange) !== link;
  }

  private async attach(exchange: string, link: Link): Promise<Result<Link>> {
    let attached: Result<Attachment>;
    try {
      attached = await this.ports.attach(exchange);
    } catch (error) {
      console.error("an exchange was not reached", { exchange, error: String(error) });
      return refuse("unavailable", `exchange "${exchange}" could not be reached`);
    }
    if (!attached.ok) {
      if (attached.code === "exchange_not_found") this.links.delete(exchange);
      return attached;
    }
    const { attachment, epoch, offset, presence } = attached.value;
    // What was pushed after the attachment may have come before its answer: then it is known.
    if (attachment !== link.attachment) this.enter(exchange, link, attachment, { epoch, offset });
    this.advance(link, epoch, offset);
    Object.assign(link, { isAttached: true, presence });
    return ok(link);
  }

  private enter(
    exchange: string,
    link: Link,
    attachment: number,
    place: { readonly epoch: string; readonly offset: number },
  ): void {
    Object.assign(link, { attachment, ...place });
    this.ports.interrupted(exchange, attachment);
  }

  /** After a wake: somebody here subscribed in this attachment. */
  takeUp(exchange: string, attachment: number): void {
    const link = this.linkOf(exchange);
    link.attachment = Math.max(link.attachment, attachment);
  }

  /** Whether a push is not of an attachment that is over. The first one of a new attachment begins it here. */
  admit(exchange: string, attachment: number): boolean {
    const link = this.linkOf(exchange);
    if (attachment > link.attachment) this.enter(exchange, link, attachment, { epoch: "", offset: 0 });
    return attachment === link.attachment;
  }

  /** Lets go of an exchange that nobody here needs any more. */
  release(exchange: string): Promise<void> {
    const link = this.links.get(exchange);
    if (link === undefined) return Promise.resolve();
    return this.inOrder(link, async () => {
      if (this.ports.isWanted(exchange) || this.isLeft(exchange, link)) return;
      this.links.delete(exchange);
      if (link.isAttached) await this.ports.detach(exchange);
    });
  }

  /** The exchange pushed events up to here, so it holds this hub attached. */
  note(exchange: string, epoch: string, offset: number): void {
    const link = this.linkOf(exchange);
    if (link.epoch !== epoch || offset > link.offset) Object.assign(link, { epoch, offset });
    this.advance(link, epoch, offset);
  }

  private advance(link: Link, epoch: string, offset: number): void {
    if (link.place.epoch !== epoch || offset > link.place.offset) link.place = { epoch, offset };
  }

  /** The exchange has ended the attachment, or is about to. */
  forget(exchange: string): void {
    const link = this.links.get(exchange);
    if (link !== undefined) link.isAttached = false;
  }

  private linkOf(exchange: string): Link {
    let link = this.links.get(exchange);
    if (link === undefined) {
      link = {
        isAttached: false,
        attachment: 0,
        epoch: "",
        offset: 0,
        place: { epoch: "", offset: 0 },
        presence: false,
        tail: Promise.resolve(),
      };
      this.links.set(exchange, link);
    }
    return link;
  }

  private inOrder<T>(link: Link, run: () => Promise<T>): Promise<T> {
    const done = link.tail.then(run);
    link.tail = done.catch(() => undefined);
    return done;
  }
}
