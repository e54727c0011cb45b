import type { RpcContract, ServiceName } from '@gatehouse/contracts';
import { type DynamicModule, type FactoryProvider, Global, Inject, Module, type ModuleMetadata, type OnApplicationShutdown, type Provider } from '@nestjs/common';
import type { MessageBus } from '../bus/message-bus.js';
import { type RpcClientOptions } from '../client/rpc-caller.js';
import { RpcClients } from '../client/rpc-clients.js';
import { RpcServer, type RpcServerOptions } from '../server/rpc-server.js';
import { ByteStreams, type ByteStreamsOptions } from '../streams/byte-streams.js';
import { rpcClientProvider } from './inject-rpc.decorator.js';

/** What a process knows only when its configuration is read. */
export type RpcModuleOptions = RpcClientOptions & ByteStreamsOptions & Pick<RpcServerOptions, 'drainTimeoutMs' | 'requestsMax'> & {
  /** Required where the process serves. */
  readonly instance?: string;
};

export interface RpcModuleDefinition {
  /** Contracts this process asks: their clients can be injected with `@InjectRpc`. */
  readonly calls?: readonly RpcContract[];
  /** Contracts this process answers: then `app.get(RpcServer)` is the strategy of its microservice. */
  readonly serves?: { readonly service: ServiceName; readonly contracts: readonly RpcContract[] };
  readonly imports?: ModuleMetadata['imports'];
  readonly inject?: FactoryProvider['inject'];
  readonly useFactory: (...dependencies: never[]) => RpcModuleOptions | Promise<RpcModuleOptions>;
}

const RPC_OPTIONS = Symbol('RpcModuleOptions');

/** RPC of one process: one bus, its clients, its streams and, where it serves, its server. Closes the bus when all else has ended. */
@Global()
@Module({})
export class RpcModule implements OnApplicationShutdown {
  constructor(
    private readonly clients: RpcClients,
    private readonly streams: ByteStreams,
    @Inject(RPC_OPTIONS) private readonly options: { readonly bus: MessageBus },
  ) {}

  static forRoot({ calls = [], serves, imports = [], inject = [], useFactory }: RpcModuleDefinition): DynamicModule {
    const clients = calls.map(rpcClientProvider);
    const server: Provider[] = serves === undefined ? [] : [{ provide: RpcServer, inject: [RPC_OPTIONS], useFactory: (options: RpcModuleOptions) => serverOf(options, serves) }];
    return {
      module: RpcModule,
      imports,
      providers: [
        { provide: RPC_OPTIONS, inject, useFactory },
        { provide: RpcClients, inject: [RPC_OPTIONS], useFactory: (options: RpcModuleOptions) => new RpcClients(options) },
        { provide: ByteStreams, inject: [RPC_OPTIONS], useFactory: (options: RpcModuleOptions) => new ByteStreams(options) },
        ...clients,
        ...server,
      ],
      exports: [RpcClients, ByteStreams, ...clients, ...server],
    };
  }

  /** Comes after the server has drained, so handlers could still call out until their end. */
  async onApplicationShutdown(): Promise<void> {
    await this.streams.close();
    await this.clients.close();
    await this.options.bus.close();
  }
}

const serverOf = (options: RpcModuleOptions, serves: NonNullable<RpcModuleDefinition['serves']>): RpcServer => {
  const { instance } = options;
  if (instance === undefined) throw new Error(`RpcModule: a process that serves ${serves.service} needs an instance name`);
  return new RpcServer({ ...options, ...serves, instance });
};
