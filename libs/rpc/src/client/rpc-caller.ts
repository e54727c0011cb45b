import { randomUUID } from 'node:crypto';
import { GatehouseError, type ServiceName, internalError, unavailable } from '@gatehouse/contracts';
import { LRUCache } from 'lru-cache';
import type { MessageBus } from '../bus/message-bus.js';
import { QuietLog, type RpcLogger } from '../logger.js';
import { Channels } from '../wire/channels.js';
import { type ReplyPacket, parseReply } from '../wire/packets.js';
import { CallPackets } from './call-packets.js';
import { InstanceDirectory, type LiveInstance } from './instance-directory.js';
import { LivenessSweep } from './liveness-sweep.js';
import { PendingCall, type Question } from './pending-call.js';
import { unanswered, unreachable } from './unreachable.js';

export interface RpcClientOptions {
  readonly bus: MessageBus;
  /** 32 bytes, the same in all processes of an installation: seals secrets on the bus. */
  readonly transportKey: Buffer;
  readonly logger: RpcLogger;
  /** Separates installations, and tests, on one bus. */
  readonly namespace?: string;
  /** Calls of this process that may wait at once. */
  readonly callsMax?: number;
  /** Bytes of one serialised call. */
  readonly packetBytesMax?: number;
  /** W3C Trace Context `traceparent` of what is going on. */
  readonly trace?: () => string | undefined;
}

const HOPS_MAX = 3;
const ROUTES_MAX = 10_000;

/** Asks instances of services over the bus, and finds out who is to be asked. */
export class RpcCaller {
  private readonly pending = new Map<string, PendingCall>();
  private readonly directories = new Map<ServiceName, InstanceDirectory>();
  /** What a routed call was about -> name of the instance that holds it. */
  private readonly routes = new LRUCache<string, string>({ max: ROUTES_MAX });
  private readonly channels: Channels;
  private readonly replyTo: string;
  private readonly packets: CallPackets;
  private readonly sweep: LivenessSweep;
  private readonly malformed: QuietLog;
  private readonly callsMax: number;
  private listening: Promise<() => Promise<void>> | undefined;

  constructor(private readonly options: RpcClientOptions) {
    this.channels = new Channels(options.namespace);
    this.replyTo = this.channels.replies(randomUUID());
    this.packets = new CallPackets(this.replyTo, options.transportKey, options.trace, options.packetBytesMax);
    this.callsMax = options.callsMax ?? 10_000;
    this.malformed = new QuietLog((fields, message) => options.logger.warn(fields, message));
    this.sweep = new LivenessSweep(options.bus, this.pending, (instance, calls) => this.buried(instance, calls));
    options.bus.onInterruption(() => this.failAll('connection to the message bus was lost'));
  }

  /** @throws GatehouseError what the service threw; 503 when nobody can answer or nobody did in time. The signal's reason when it aborts. */
  call(question: Question): Promise<unknown> {
    const { service, method, caller, input, options } = question;
    if (options.signal?.aborted === true) return Promise.reject(options.signal.reason as Error);
    if (this.options.bus.state === 'down') return Promise.reject(unreachable(service, new Error('The message bus is down')));
    if (this.pending.size >= this.callsMax) return Promise.reject(unavailable(new Error(`${this.callsMax} calls are waiting already`), 1));
    // The contract's own types hold input and routeKey together; here they are any method's.
    const routeKey = method.routeKey === undefined ? undefined : `${service}|${method.routeKey(caller, input as never)}`;

    return new Promise((resolve, reject) => {
      const call = new PendingCall(
        question,
        routeKey,
        resolve,
        reject,
        late => this.abandon(late, unanswered(service, new Error(`${question.pattern} was not answered in time by ${late.instance?.name ?? 'any instance'}`))),
        aborted => this.abandon(aborted, options.signal?.reason),
      );
      if (options.instance !== undefined) call.target = { name: options.instance, because: 'pinned' };
      else call.target = this.remembered(routeKey);
      this.pending.set(call.id, call);
      this.sweep.start();
      this.deliver(call).catch((error: unknown) => this.fail(call, error instanceof GatehouseError ? error : unreachable(service, error)));
    });
  }

  /** Names of the live instances of a service. */
  instances(service: ServiceName): Promise<string[]> {
    return this.directory(service).names();
  }

  async close(): Promise<void> {
    this.failAll('this process stops');
    this.sweep.stop();
    if (this.options.bus.state === 'up') await (await this.listening)?.();
  }

  /** Publishes to one instance after the other until one is there. Who is there answers by itself later. */
  private async deliver(call: PendingCall): Promise<void> {
    await (this.listening ??= this.options.bus.subscribe(this.replyTo, message => this.receive(message)));
    const directory = this.directory(call.question.service);
    while (!call.settled) {
      const instance = directory.choose(call.target?.name, call.tried);
      if (instance === undefined) {
        await this.lookAgain(call, directory);
        continue;
      }
      // Counted before anything is awaited: the next call's choice must see it.
      call.moveTo(instance);
      if ((await this.options.bus.publish(instance.requests, this.packets.request(call, instance))) > 0) {
        if (call.instance === instance) call.delivered = true;
        return;
      }
      call.tried.add(instance);
      directory.drop(instance);
    }
  }

  /** Nobody suitable is listed: reads the directory once more for this call, then lets go of a remembered holder, then gives up. */
  private async lookAgain(call: PendingCall, directory: InstanceDirectory): Promise<void> {
    if (!call.lookedAgain) {
      call.lookedAgain = true;
      await directory.refresh();
    } else if (call.target?.because === 'remembered' && call.routeKey !== undefined) {
      this.routes.delete(call.routeKey);
      call.target = undefined;
    } else {
      throw unreachable(call.question.service, new Error(`No instance ${call.target?.name ?? ''} of ${call.question.service} is there`));
    }
  }

  private receive(message: Buffer): void {
    const reply = parseReply(message);
    if (reply === null) return this.malformed.line({ bytes: message.length }, 'Malformed RPC reply dropped');
    // Given up meanwhile: an answer after the deadline is nobody's.
    const call = this.pending.get(reply.id);
    if (call === undefined) return;
    if (reply.moved !== undefined) this.follow(call, reply.moved);
    else if (reply.err !== undefined) this.fail(call, GatehouseError.fromWire(reply.err));
    else this.succeed(call, reply);
  }

  private succeed(call: PendingCall, reply: ReplyPacket): void {
    try {
      const result = this.packets.result(call, reply);
      if (call.routeKey !== undefined && call.instance !== undefined) this.routes.set(call.routeKey, call.instance.name);
      this.pending.delete(call.id);
      call.succeed(result);
    } catch (error) {
      this.fail(call, internalError(error));
    }
  }

  private follow(call: PendingCall, holder: string): void {
    const { service, pattern } = call.question;
    if (++call.hops > HOPS_MAX) {
      this.fail(call, unreachable(service, new Error(`${pattern} was sent on more than ${HOPS_MAX} times, last to ${holder}`)));
      return;
    }
    if (call.routeKey !== undefined) this.routes.set(call.routeKey, holder);
    call.target = { name: holder, because: 'moved' };
    call.tried.clear();
    call.lookedAgain = false;
    call.moveTo(undefined);
    this.deliver(call).catch((error: unknown) => this.fail(call, error instanceof GatehouseError ? error : unreachable(service, error)));
  }

  /** Nobody waits for the answer any more: the instance may stop working on it. */
  private abandon(call: PendingCall, reason: unknown): void {
    const instance = call.instance;
    this.fail(call, reason);
    if (instance === undefined || this.options.bus.state !== 'up') return;
    this.options.bus.publish(instance.control, this.packets.cancel(call)).catch((error: unknown) => {
      this.options.logger.debug({ err: error, pattern: call.question.pattern }, 'RPC cancellation not sent');
    });
  }

  private buried(instance: LiveInstance, calls: readonly PendingCall[]): void {
    for (const call of calls) {
      this.directory(call.question.service).drop(instance);
      this.fail(call, unreachable(call.question.service, new Error(`Instance ${instance.name} went away before it answered ${call.question.pattern}`)));
    }
  }

  private fail(call: PendingCall, reason: unknown): void {
    if (this.pending.delete(call.id)) call.fail(reason);
  }

  private failAll(because: string): void {
    for (const call of [...this.pending.values()]) this.fail(call, unreachable(call.question.service, new Error(`${call.question.pattern}: ${because}`)));
  }

  private remembered(routeKey: string | undefined): PendingCall['target'] {
    const name = routeKey === undefined ? undefined : this.routes.get(routeKey);
    return name === undefined ? undefined : { name, because: 'remembered' };
  }

  private directory(service: ServiceName): InstanceDirectory {
    const known = this.directories.get(service);
    if (known !== undefined) return known;
    const directory = new InstanceDirectory(this.options.bus, this.channels, service);
    this.directories.set(service, directory);
    return directory;
  }
}
