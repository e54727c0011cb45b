import { setTimeout } from 'node:timers/promises';
import { type GatehouseError, type RpcMethodShape, type ServiceName, type WireError, internalError, toGatehouseError, unavailable } from '@gatehouse/contracts';
import type { SealingKeys } from '@gatehouse/sealing';
import type { MessageHandler } from '@nestjs/microservices';
import { isObservable, lastValueFrom } from 'rxjs';
import type { MessageBus } from '../bus/message-bus.js';
import { busy } from '../client/unreachable.js';
import { HeldElsewhere } from '../held-elsewhere.js';
import { QuietLog, type RpcLogger } from '../logger.js';
import { type ReplyPacket, type RequestPacket, PACKET_BYTES_MAX, parseCancel, parseRequest } from '../wire/packets.js';
import { encodeReply } from '../wire/reply-texts.js';
import { openFields, sealResult } from '../wire/sealed-fields.js';
import type { RpcRequest } from './rpc-request.js';
import { RunningCall } from './running-call.js';
import { RunningCalls } from './running-calls.js';

export interface ResponderOptions {
  readonly service: ServiceName;
  readonly bus: MessageBus;
  readonly logger: RpcLogger;
  readonly transportKey: Buffer;
  /** Requests that may run at once; one more is told to come back. */
  readonly requestsMax?: number;
  /** Bytes of one serialised result. */
  readonly packetBytesMax?: number;
  /** Characters that large results may have together while they wait for their turn to be sent. */
  readonly largeCharactersMax?: number;
}

/** From here on a result is large: to encode it takes milliseconds in which nothing else happens, and several times its size. */
const LARGE_CHARACTERS = 256 * 1_024;
const LARGE_CHARACTERS_MAX = 256 * 1_024 * 1_024;

/** After the abort: time to notice it and to answer. */
const ABORT_GRACE_MS = 1_000;

const SEND_ATTEMPTS = 20;
const SEND_RETRY_MS = 100;

/** Turns request packets into reply packets: opens, runs the handler, seals, and answers to whoever asked. */
export class Responder {
  private readonly running = new RunningCalls();
  private readonly dropped: QuietLog;
  private readonly unsent: QuietLog;
  private readonly full: QuietLog;
  /** Large results go out one after the other: together they would take more memory than there is, and no turn would be left for anything else. */
  private lastLarge: Promise<void> = Promise.resolve();
  private largeCharacters = 0;
  private stopping = false;

  constructor(
    private readonly options: ResponderOptions,
    private readonly keys: SealingKeys,
    private readonly handlers: ReadonlyMap<string, MessageHandler>,
  ) {
    const warn = (fields: object, message: string): void => options.logger.warn(fields, message);
    this.dropped = new QuietLog(warn);
    this.unsent = new QuietLog(warn);
    this.full = new QuietLog(warn);
  }

  request(message: Buffer): void {
    const packet = parseRequest(message);
    if (packet === null) this.dropped.line({ bytes: message.length }, 'Malformed RPC request dropped');
    else if (this.running.has(packet.id)) this.dropped.line({ pattern: packet.pattern }, 'Repeated RPC request dropped');
    else if (this.running.size >= (this.options.requestsMax ?? 1_024)) void this.send(packet, { id: packet.id, err: this.busy() });
    else void this.serve(new RunningCall(packet));
  }

  private busy(): WireError {
    return busy(this.options.service).toWire();
  }

  cancel(message: Buffer): void {
    const packet = parseCancel(message);
    if (packet === null) this.dropped.line({ bytes: message.length }, 'Malformed RPC cancellation dropped');
    else this.running.cancel(packet.cancel, packet.replyTo);
  }

  /** Waits for what runs, then aborts it. Everyone who asked has an answer when this resolves. */
  async finish(timeoutMs: number): Promise<void> {
    this.stopping = true;
    if (await this.running.idle(timeoutMs)) return;
    this.options.logger.warn({ running: this.running.size, timeoutMs }, 'RPC calls aborted: they outlasted the drain');
    this.running.abortAll('The instance stops');
    if (await this.running.idle(ABORT_GRACE_MS)) return;
    await Promise.all([...this.running].map(({ packet }) => this.send(packet, { id: packet.id, err: unavailable().toWire() })));
  }

  private async serve(call: RunningCall): Promise<void> {
    this.running.add(call);
    const reply = await this.answer(call);
    call.end();
    // Nobody waits for the answer to an aborted call, unless it was aborted because this instance stops.
    if (!call.signal.aborted || this.stopping) await this.sendInTurn(call.packet, reply);
    this.running.remove(call);
  }

  private sendInTurn(packet: RequestPacket, reply: ReplyPacket): Promise<void> {
    const characters = charactersOf(reply.ok);
    if (characters < LARGE_CHARACTERS) return this.send(packet, reply);
    if (this.largeCharacters + characters > (this.options.largeCharactersMax ?? LARGE_CHARACTERS_MAX)) {
      this.full.line({ pattern: packet.pattern, requestId: packet.caller.requestId, characters }, 'RPC result dropped: too many large ones wait to be sent');
      return this.send(packet, { id: packet.id, err: this.busy() });
    }
    this.largeCharacters += characters;
    const send = (): Promise<void> => this.send(packet, reply).finally(() => (this.largeCharacters -= characters));
    this.lastLarge = this.lastLarge.then(send, send);
    return this.lastLarge;
  }

  private async answer(call: RunningCall): Promise<ReplyPacket> {
    const { id, pattern } = call.packet;
    const handler = this.handlers.get(pattern);
    const method = handler?.extras?.['method'] as RpcMethodShape | undefined;
    try {
      if (handler === undefined || method === undefined) throw new Error(`No handler for ${pattern}`);
      return { id, ok: await this.run(call, handler, method) };
    } catch (thrown) {
      if (thrown instanceof HeldElsewhere && method?.routeKey !== undefined) return { id, moved: thrown.instance };
      return { id, err: this.report(thrown, call).toWire() };
    }
  }

  private async run(call: RunningCall, handler: MessageHandler, method: RpcMethodShape): Promise<unknown> {
    const { id, pattern, caller, input, trace, replyKey } = call.packet;
    const { transportKey } = this.options;
    const place = { pattern, requestId: id };
    const opened = openFields(input, method.sealedFields, this.keys, transportKey, place);
    const request: RpcRequest = { pattern, method, caller, input: opened, call, ...(trace === undefined ? {} : { trace }) };
    const outcome: unknown = await handler(request);
    // An interceptor makes an observable of any result.
    const result: unknown = isObservable(outcome) ? await lastValueFrom(outcome, { defaultValue: undefined }) : outcome;
    if (!method.sealsResult) return result;
    if (replyKey === undefined) throw new Error(`${pattern} was asked without a key to seal its result to`);
    return sealResult(result, replyKey, transportKey, place);
  }

  /** The one place where a handler's failure is logged: its cause goes no further than this process. */
  private report(thrown: unknown, { packet, signal }: RunningCall): GatehouseError {
    const error = toGatehouseError(thrown);
    const fields = { requestId: packet.caller.requestId, pattern: packet.pattern, err: error.cause ?? error };
    if (signal.aborted) this.options.logger.debug(fields, 'RPC call aborted');
    // A command that fails or runs out of its time is the sandbox's news, unless there is a cause that is ours.
    else if (error.code === 'sandbox_error' && error.status === 500 && error.cause === undefined) this.options.logger.info({ ...fields, err: undefined, reason: error.message }, 'RPC handler reported a failure of a sandbox');
    else if (error.status === 500) this.options.logger.error(fields, 'RPC handler failed');
    else if (error.status > 500) this.options.logger.warn(fields, 'RPC handler met something unavailable');
    return error;
  }

  /**
   * Tries for a while: the connection that sends can be away for a moment while the one that brought the request is there,
   * and an answer that comes twice is harmless. Clients notice a longer outage by themselves.
   */
  private async send(packet: RequestPacket, reply: ReplyPacket): Promise<void> {
    const message = this.encode(packet, reply);
    for (let attempt = 1; ; attempt++) {
      try {
        await this.options.bus.publish(packet.replyTo, message);
        return;
      } catch (error) {
        if (attempt < SEND_ATTEMPTS) await setTimeout(SEND_RETRY_MS, undefined, { ref: false });
        else return this.unsent.line({ err: error, pattern: packet.pattern, requestId: packet.caller.requestId }, 'RPC reply not sent');
      }
    }
  }

  private encode({ pattern, caller }: RequestPacket, reply: ReplyPacket): Buffer {
    try {
      const message = encodeReply(reply);
      if (message.length <= (this.options.packetBytesMax ?? PACKET_BYTES_MAX)) return message;
      throw new Error('The result is too large for the message bus');
    } catch (error) {
      this.options.logger.error({ err: error, pattern, requestId: caller.requestId }, 'RPC result cannot be sent');
      return Buffer.from(JSON.stringify({ id: reply.id, err: internalError().toWire() } satisfies ReplyPacket));
    }
  }
}

/** About how long a result is as text: its texts, and those of its lists, without counting what is small by its form. */
const charactersOf = (result: unknown): number => {
  if (typeof result === 'string') return result.length;
  if (typeof result !== 'object' || result === null) return 0;
  let characters = 0;
  for (const part of Object.values(result)) {
    if (typeof part === 'string') characters += part.length;
    else if (Array.isArray(part)) characters += part.length * LIST_ITEM_CHARACTERS;
  }
  return characters;
};
const LIST_ITEM_CHARACTERS = 200;
