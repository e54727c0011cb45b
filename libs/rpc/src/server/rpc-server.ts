import type { RpcContract } from '@gatehouse/contracts';
import { generateSealingKeys } from '@gatehouse/sealing';
import { type CustomTransportStrategy, type MessageHandler, Server } from '@nestjs/microservices';
import { EncryptedBus } from '../bus/encrypted-bus.js';
import type { MessageBus } from '../bus/message-bus.js';
import { Channels } from '../wire/channels.js';
import { contractProblems } from './contracts-served.js';
import { Responder, type ResponderOptions } from './responder.js';

export interface RpcServerOptions extends ResponderOptions {
  /** Unique among the live instances of the service; what `instance` in a call's options names. */
  readonly instance: string;
  /** What this process answers. It refuses to start unless each method has exactly one handler. */
  readonly contracts: readonly RpcContract[];
  /** Separates installations, and tests, on one bus. */
  readonly namespace?: string;
  /** How long `close` waits for requests in progress before it aborts them. */
  readonly drainTimeoutMs?: number;
}

type EndSubscription = () => Promise<void>;

/**
 * One instance of a service: a transport strategy of Nest microservices, so that handlers are Nest controllers with guards,
 * interceptors and injection. Subscribes to a channel of its own; whoever publishes there has chosen this instance.
 */
export class RpcServer extends Server implements CustomTransportStrategy {
  private readonly keys = generateSealingKeys();
  private readonly bus: MessageBus;
  private readonly channels: Channels;
  private readonly responder: Responder;
  /** Pattern -> number of handlers; Nest itself keeps only the last. */
  private readonly served = new Map<string, number>();
  private subscriptions: { readonly requests: EndSubscription; readonly control: EndSubscription } | undefined;
  private drained: Promise<void> | undefined;

  constructor(private readonly options: RpcServerOptions) {
    super();
    this.bus = new EncryptedBus(options.bus, options);
    this.channels = new Channels(options.namespace);
    this.responder = new Responder({ ...options, bus: this.bus }, this.keys, this.messageHandlers);
  }

  /** Called by Nest for each handler it finds. */
  override addHandler(pattern: string, callback: MessageHandler, isEventHandler = false, extras: Record<string, unknown> = {}): void {
    if (extras['method'] === undefined) throw new Error(`${pattern} is not part of an RPC contract: handlers are made by @RpcService, not by @MessagePattern or @EventPattern`);
    this.served.set(pattern, (this.served.get(pattern) ?? 0) + 1);
    super.addHandler(pattern, callback, isEventHandler, extras);
  }

  /** Called by Nest. Hands an error to the callback, and serves nothing, when a contract is not served as claimed. */
  listen(callback: (error?: unknown) => void): void {
    this.start().then(() => callback(), callback);
  }

  /** Called by Nest at shutdown. */
  close(): Promise<void> {
    return this.drain(this.options.drainTimeoutMs ?? 10_000);
  }

  /** Withdraws from discovery, finishes what it has, at most for `timeoutMs`, aborts the rest and ends. */
  drain(timeoutMs: number): Promise<void> {
    return (this.drained ??= this.stop(timeoutMs));
  }

  on(): never {
    throw new Error('RpcServer has no events');
  }

  unwrap<T>(): T {
    return this.options.bus as T;
  }

  private async start(): Promise<void> {
    const { service, instance: name, contracts, logger } = this.options;
    const problems = contractProblems(service, contracts, this.served);
    if (problems.length > 0) throw new Error(`The service ${service} does not serve what it claims:\n- ${problems.join('\n- ')}`);

    const instance = { name, bootedAt: Date.now(), publicKey: this.keys.publicKey };
    // The control channel stands before the first request can come and after the last answer: its silence means death.
    const control = await this.bus.subscribe(this.channels.control(instance), message => this.responder.cancel(message));
    const requests = await this.bus.subscribe(this.channels.requests(service, instance), message => this.responder.request(message));
    this.subscriptions = { requests, control };
    logger.info({ contracts: contracts.map(({ resource }) => resource) }, 'RPC server listens');
  }

  private async stop(timeoutMs: number): Promise<void> {
    await this.subscriptions?.requests();
    await this.responder.finish(timeoutMs);
    await this.subscriptions?.control();
  }
}
