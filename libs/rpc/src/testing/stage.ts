import { randomBytes, randomUUID } from 'node:crypto';
import { type RpcClient, type RpcContract } from '@gatehouse/contracts';
import { type INestMicroservice, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EncryptedBus } from '../bus/encrypted-bus.js';
import type { MessageBus } from '../bus/message-bus.js';
import { RpcClients } from '../client/rpc-clients.js';
import type { RpcClientOptions } from '../client/rpc-caller.js';
import type { RpcLogger } from '../logger.js';
import { RpcModule } from '../nest/rpc.module.js';
import { RpcServer, type RpcServerOptions } from '../server/rpc-server.js';
import { ByteStreams, type ByteStreamsOptions } from '../streams/byte-streams.js';
import { eventually } from './expectations.js';
import { demosRpc } from './demos.js';
import { DemosService, DemoState } from './demos.service.js';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Keeps what is logged. */
export class RecordingLogger implements RpcLogger {
  readonly lines: LogLine[] = [];
  readonly debug = this.writer('debug');
  readonly info = this.writer('info');
  readonly warn = this.writer('warn');
  readonly error = this.writer('error');

  of(level: LogLine['level']): LogLine[] {
    return this.lines.filter(line => line.level === level);
  }

  private writer(level: LogLine['level']): (fields: object, message: string) => void {
    return (fields, message) => this.lines.push({ level, message, fields: fields as Readonly<Record<string, unknown>> });
  }
}

/** A running instance of the demo service. */
export interface StagedInstance {
  readonly name: string;
  readonly state: DemoState;
  readonly server: RpcServer;
  readonly app: INestMicroservice;
  /** Its connections vanish without a word, as at `kill -9`. Resolves when that is known to the bus. */
  kill(): Promise<void>;
}

export interface StagedStreams {
  readonly streams: ByteStreams;
  readonly bus: MessageBus;
  kill(): Promise<void>;
}

/** One installation of its own on a shared bus: a namespace, a transport key, and all that must be closed at the end. */
export class Stage {
  readonly namespace = `test-${randomUUID()}`;
  readonly transportKey = randomBytes(32);
  readonly logger = new RecordingLogger();
  private watching: RpcClients | undefined;
  private readonly closing: (() => Promise<unknown>)[] = [];

  constructor(private readonly connect: () => MessageBus) {}

  /** Starts an instance as its own process would: own module, own bus. */
  async instance(name: string, options: Partial<RpcServerOptions> = {}, controllers: Type<unknown>[] = [DemosService], contracts: readonly RpcContract[] = [demosRpc]): Promise<StagedInstance> {
    const { namespace, transportKey, logger } = this;
    const state = new DemoState(name);
    const bus = this.connect();
    const service = contracts[0]?.service ?? 'budget';

    @Module({
      imports: [RpcModule.forRoot({ serves: { service, contracts }, useFactory: () => ({ bus, namespace, transportKey, logger, instance: name, ...options }) })],
      controllers,
      providers: [{ provide: DemoState, useValue: state }],
    })
    class InstanceModule {}

    const app = await NestFactory.createMicroservice(InstanceModule, { inject: [RpcServer], useFactory: (server: RpcServer) => ({ strategy: server }), logger: false, abortOnError: false });
    this.closing.push(() => app.close(), () => bus.close());
    await app.listen();
    const kill = async (): Promise<void> => {
      await bus.close();
      await eventually(async () => !(await this.observer().instances(service)).includes(name));
    };
    return { name, state, app, server: app.get(RpcServer), kill };
  }

  clients(options: Partial<RpcClientOptions> = {}): RpcClients {
    const bus = this.connect();
    const clients = new RpcClients({ bus, namespace: this.namespace, transportKey: this.transportKey, logger: this.logger, ...options });
    this.closing.push(() => clients.close(), () => bus.close());
    return clients;
  }

  client(options: Partial<RpcClientOptions> = {}): RpcClient<typeof demosRpc> {
    return this.clients(options).of(demosRpc);
  }

  /** The streams of a process of its own; `kill` lets its connections vanish without a word. */
  streams(options: Partial<ByteStreamsOptions> = {}): StagedStreams {
    const bus = this.connect();
    const streams = new ByteStreams({ bus, namespace: this.namespace, transportKey: this.transportKey, logger: this.logger, ...options });
    this.closing.push(() => streams.close(), () => bus.close());
    return { streams, bus, kill: () => bus.close() };
  }

  /** A process of the same installation that speaks to the bus directly. */
  insider(): MessageBus {
    return new EncryptedBus(this.connect(), this);
  }

  private observer(): RpcClients {
    return (this.watching ??= this.clients());
  }

  async close(): Promise<void> {
    for (const close of this.closing.splice(0).reverse()) await close();
  }
}
