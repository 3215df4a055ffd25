/**
 * A queue as its callers see it, on however many objects it lies. A queue of one partition costs nothing: its calls
 * go through as they are, until the object says that there are more.
 */
import { FIELD } from "../protocol/batch.ts";
import type {
  Delivery,
  MessageHandle,
  MessageView,
  PeekCommand,
  PeekPage,
  PublishCommand,
  PublishConfirm,
  Publisher,
  PurgeOptions,
  QueueInfo,
  ReceiveCommand,
  RedriveCommand,
  RedriveStatus,
  Settlement,
  SettlementResult,
} from "../protocol/commands.ts";
import type { MovedCommand, MovesTaken } from "../protocol/move-target.ts";
import { NAME_PATTERN } from "../protocol/names.ts";
import { ownerOf, partitionOfLease } from "../protocol/partitions.ts";
import type { QueueChanges, QueueConfig } from "../protocol/queue-config.ts";
import { hashBytes } from "../protocol/rendezvous.ts";
import { ok, refuse, type Refusal, type Result } from "../protocol/result.ts";
import {
  CLAIMS_HEADER,
  type DeclareOptions,
  PARTITIONS_HEADER,
  type HeldRemote,
  type QueueApi,
  type QueueLayout,
  type RemoteConsumer,
  type SocketClaims,
} from "../protocol/rpc.ts";
import { mergeInfos, mergeRedriveLists, mergeRedrives, sumMessages } from "./merge.ts";
import { acceptMoves } from "./moving.ts";
import { PartSockets } from "./part-sockets.ts";
import { Parts, type PartsPorts } from "./parts.ts";
import { redriveAll } from "./redriving.ts";
import { Publishing, type PublishPart } from "./publishing.ts";
import { WholeRemotes, type Attached, type Renewed } from "./whole-remotes.ts";

type Affected = Result<{ messages: number }>;

/** A consumer's name may be made of it. */
function subjectOf(request: Request): string {
  const claims = JSON.parse(request.headers.get(CLAIMS_HEADER) ?? "{}") as Partial<SocketClaims>;
  return NAME_PATTERN.test(claims.subject ?? "") ? claims.subject! : "client";
}

export class WholeQueue implements QueueApi {
  private readonly parts: Parts;
  private readonly ports: PartsPorts;
  private readonly remotes: WholeRemotes;

  constructor(ports: PartsPorts) {
    this.ports = ports;
    this.parts = new Parts(ports);
    this.remotes = new WholeRemotes(this.parts, ports);
  }

  // The queue as a whole

  async declare(
    config: QueueConfig,
    options: DeclareOptions = {},
  ): Promise<Result<{ created: boolean; info: QueueInfo }>> {
    const declared = await this.parts.head.declare(config, options);
    if (!declared.ok) return declared;
    const info = await this.wholeInfo(declared.value.info);
    return info.ok ? ok({ ...declared.value, info: info.value }) : info;
  }

  async update(changes: QueueChanges): Promise<Result<QueueInfo>> {
    const updated = await this.parts.head.update(changes);
    return updated.ok ? this.wholeInfo(updated.value) : updated;
  }

  private async wholeInfo(head: QueueInfo): Promise<Result<QueueInfo>> {
    this.ports.layouts.learn(this.ports.name, head.config);
    return head.config.partitions === 1 ? ok(head) : this.inspect();
  }

  inspect(): Promise<Result<QueueInfo>> {
    return this.parts.merged(
      (part, known) => part.inspect(known),
      (answers) => {
        const infos = [];
        for (const answer of answers) {
          if (!answer.ok) return answer;
          infos.push(answer.value);
        }
        return ok(infos.length === 1 ? infos[0]! : mergeInfos(infos));
      },
    );
  }

  async remove(options: { ifEmpty: boolean; ifUnused: boolean; restMs?: number }): Promise<Affected> {
    const removed = await this.parts.head.remove(options);
    if (removed.ok) this.ports.layouts.forget(this.ports.name);
    return removed;
  }

  pause(paused: boolean): Promise<Result<{ paused: boolean }>> {
    return this.parts.head.pause(paused);
  }

  // Publishing

  async publish(command: PublishCommand): Promise<Result<PublishConfirm>> {
    const [answer] = await this.publishAll([command]);
    return answer!;
  }

  async publishAll(commands: readonly PublishCommand[]): Promise<Result<PublishConfirm>[]> {
    const layout = this.ports.layouts.of(this.ports.name);
    if (layout.partitions === 1) {
      const answers = await this.parts.head.publishAll(commands);
      if (!answers.some((answer) => !answer.ok && answer.code === "partitions_changed")) return answers;
      // A turn knows one layout: all were refused for it, or for what no layout changes.
    }
    const { codec, random } = this.ports;
    const publishing = new Publishing(codec, random, commands);
    const spread = await this.parts.under(async (known): Promise<Result<null>> => {
      await this.sendParts(publishing, publishing.takeParts(known));
      return publishing.isDone ? ok(null) : refuse("partitions_changed", "the queue has grown");
    });
    if (!spread.ok) publishing.giveUp(spread);
    return publishing.answers();
  }

  private async sendParts(publishing: Publishing, parts: readonly PublishPart[]): Promise<void> {
    const lanes = Map.groupBy(parts, ({ partition }) => partition);
    const sent = [...lanes].map(async ([partition, own]) => {
      const answers = await this.ports.part(partition).publishAll(own.map(({ publish }) => publish));
      return { own, answers };
    });
    // In the order of the commands again, so that what must be sent anew is.
    const answerOf = new Map<PublishPart, Result<PublishConfirm>>();
    for (const { own, answers } of await Promise.all(sent)) {
      for (const [i, part] of own.entries()) answerOf.set(part, answers[i]!);
    }
    for (const part of parts) publishing.take(part, answerOf.get(part)!);
  }

  acceptMoves(command: MovedCommand): Promise<Result<MovesTaken>> {
    return acceptMoves(this.ports, this.parts, command);
  }

  // Consuming

  receive(command: ReceiveCommand): Promise<Result<Delivery>> {
    return this.parts.under(async ({ partitions }) => {
      if (partitions > 1 && command.attemptId !== undefined) {
        const again = await this.receiveFrom(0, partitions, { ...command, isRepeatOnly: true });
        if (!again.ok || again.value.lease !== 0) return again;
      }
      return this.receiveFrom(Math.floor(this.ports.random() * partitions), partitions, command);
    });
  }

  /** A delivery is one partition's: the first that has something, from a place on. */
  private async receiveFrom(
    start: number,
    partitions: number,
    command: ReceiveCommand,
  ): Promise<Result<Delivery>> {
    for (let i = 0; ; i++) {
      const answer = await this.ports.part((start + i) % partitions).receive(command, partitions);
      if (!answer.ok || answer.value.lease !== 0 || i === partitions - 1) return answer;
    }
  }

  settle(settlements: readonly Settlement[]): Promise<Result<SettlementResult[]>> {
    return this.parts.under(async ({ partitions }) => {
      if (partitions === 1) return this.parts.head.settle(settlements);
      const results: SettlementResult[] = [];
      const lanes = Map.groupBy([...settlements.entries()], ([, { lease }]) => {
        const partition = partitionOfLease(lease);
        return partition < partitions ? partition : 0;
      });
      const answers = await Promise.all(
        [...lanes].map(async ([partition, own]) => {
          const answer = await this.ports.part(partition).settle(
            own.map(([, settlement]) => settlement),
            partitions,
          );
          if (answer.ok) for (const [i, [at]] of own.entries()) results[at] = answer.value[i]!;
          return answer;
        }),
      );
      return answers.find((answer) => !answer.ok) ?? ok(results);
    });
  }

  attachRemote(consumer: RemoteConsumer): Promise<Result<Attached>> {
    return this.remotes.attach(consumer);
  }

  renewRemotes(hub: string, held: readonly HeldRemote[]): Promise<Result<Renewed>> {
    return this.remotes.renew(hub, held);
  }

  changeRemote(ids: readonly number[], { credit }: { credit: number }): Promise<Result<void>> {
    return this.remotes.change(ids, credit);
  }

  detachRemote(ids: readonly number[], how: "released" | "lost"): Promise<Result<void>> {
    return this.remotes.detach(ids, how);
  }

  async fetch(request: Request): Promise<Response> {
    const headers = Object.fromEntries(request.headers);
    const open = async (partition: number, known: number): Promise<Response> =>
      this.ports
        .part(partition)
        .fetch(new Request(request.url, { headers: { ...headers, [PARTITIONS_HEADER]: String(known) } }));
    let response: Response | null = null;
    const opened = await this.parts.under(async (layout): Promise<Result<null>> => {
      if (layout.partitions > 1) {
        const { codec, random, drawMark, layouts, name } = this.ports;
        const sockets = await PartSockets.open({
          codec,
          random,
          drawMark,
          subject: subjectOf(request),
          open,
          layout: () => layouts.of(name),
          relearn: (before, tries) => this.parts.relearn(before, tries),
        });
        if (!sockets.ok) return sockets;
        response = new Response(null, { status: 101, webSocket: sockets.value });
        return ok(null);
      }
      response = await this.parts.head.fetch(request);
      return response.status === 503 ? ((await response.clone().json()) as Refusal) : ok(null);
    });
    return response ?? Response.json(opened, { status: opened.ok ? 500 : 503 });
  }

  // Looking and managing

  /** Partition by partition; the cursor says which. */
  peek(command: PeekCommand): Promise<Result<PeekPage>> {
    return this.parts.under(async ({ partitions }) => {
      if (partitions === 1) return this.parts.head.peek(command);
      const place = /^(\d{1,2})~(.*)$/.exec(command.cursor ?? "0~");
      if (!place || Number(place[1]) >= partitions)
        return refuse("bad_request", "cursor: not one that a peek of this state gave");
      const messages: MessageView[] = [];
      let inner = place[2]!;
      for (let i = Number(place[1]); i < partitions; i++, inner = "") {
        const limit = command.limit - messages.length;
        if (limit === 0) return ok({ messages, cursor: `${i}~` });
        const { cursor: _cursor, ...rest } = command;
        const wish = { ...rest, limit, ...(inner === "" ? {} : { cursor: inner }) };
        const page = await this.ports.part(i).peek(wish, partitions);
        if (!page.ok) return page;
        messages.push(...page.value.messages);
        if (page.value.cursor !== undefined) return ok({ messages, cursor: `${i}~${page.value.cursor}` });
      }
      return ok({ messages });
    });
  }

  find(handle: MessageHandle): Promise<Result<MessageView>> {
    return this.parts.found(handle, (part, known) => part.find(handle, known));
  }

  cancel(handle: MessageHandle): Promise<Result<{ id: string }>> {
    return this.parts.found(handle, (part, known) => part.cancel(handle, known));
  }

  replace(handle: MessageHandle, batch: Uint8Array, publisher?: Publisher): Promise<Result<PublishConfirm>> {
    return this.parts.under(async (layout) => {
      const { partitions } = layout;
      for (let i = 0; ; i++) {
        const holder = this.ports.part(i);
        const isLast = i === partitions - 1;
        const found = isLast ? null : await holder.find(handle, partitions);
        if (found?.ok === false && found.code === "message_not_found") continue;
        if (found?.ok === false) return found;
        return this.refuseMove(batch, layout, i) ?? holder.replace(handle, batch, publisher, partitions);
      }
    });
  }

  /** In one step a message can only be replaced where it lies. */
  private refuseMove(batch: Uint8Array, { partitions, fifo }: QueueLayout, holder: number): Refusal | null {
    const scanned = this.ports.codec.scan(batch, "client");
    if (!scanned.ok) return scanned;
    const table = scanned.value;
    if (!fifo || partitions === 1 || (table.flags(0) & FIELD.orderingKey) === 0) return null;
    const owner = ownerOf(hashBytes(batch, table.keyOffset(0), table.keySize(0)), partitions);
    if (owner === holder) return null;
    return refuse(
      "bad_request",
      "orderingKey: leads to another partition; cancel the message and publish anew",
    );
  }

  purge(options: PurgeOptions): Promise<Affected> {
    return this.parts.merged(
      async (part, known) =>
        known > 1 && options.upToSequence !== undefined
          ? refuse(
              "bad_request",
              "upToSequence: the partitions of a queue count for themselves; leave it out",
            )
          : part.purge(options, known),
      sumMessages,
    );
  }

  redrive(command: RedriveCommand): Promise<Result<RedriveStatus>> {
    return this.parts.under(({ partitions }) =>
      partitions === 1
        ? this.parts.head.redrive(command)
        : redriveAll((i) => this.ports.part(i), command, partitions),
    );
  }

  redriveStatus(task: number): Promise<Result<RedriveStatus>> {
    return this.parts.merged((part, known) => part.redriveStatus(task, known), mergeRedrives);
  }

  redrives(limit: number): Promise<Result<RedriveStatus[]>> {
    return this.parts.merged(
      (part, known) => part.redrives(limit, known),
      (answers) => mergeRedriveLists(answers, limit),
    );
  }

  redriveCancel(task: number): Promise<Result<RedriveStatus>> {
    return this.parts.merged((part, known) => part.redriveCancel(task, known), mergeRedrives);
  }

  /** A key that moved may be parked in more than one. */
  resumeKey(key: string, action: "retry" | "skip" | "drain"): Promise<Affected> {
    return this.parts.merged(
      (part, known) => part.resumeKey(key, action, known),
      (answers) => {
        const taken = answers.filter((answer) => answer.ok);
        return taken.length === 0 ? answers[0]! : sumMessages(taken);
      },
    );
  }
}
