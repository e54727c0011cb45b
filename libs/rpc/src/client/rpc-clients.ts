import { type Caller, type RpcCallOptions, type RpcClient, type RpcContract, type ServiceName, patternOf } from '@gatehouse/contracts';
import { EncryptedBus } from '../bus/encrypted-bus.js';
import { RpcCaller, type RpcClientOptions } from './rpc-caller.js';

const NO_OPTIONS: RpcCallOptions = {};

/** Makes a process's typed clients. They share its reply channel, its view of live instances and its routes. */
export class RpcClients {
  private readonly caller: RpcCaller;

  constructor(options: RpcClientOptions) {
    this.caller = new RpcCaller({ ...options, bus: new EncryptedBus(options.bus, options) });
  }

  /**
   * A client of one contract. Each method takes `(caller, input, options?)` and rejects with the GatehouseError that the
   * service threw, or with a 503 when nobody can answer.
   */
  of<C extends RpcContract>(contract: C): RpcClient<C> {
    const { service } = contract;
    const methods = Object.entries(contract.methods).map(([name, method]) => {
      const pattern = patternOf(contract, name);
      return [name, (caller: Caller, input: object, options = NO_OPTIONS) => this.caller.call({ service, pattern, method, caller, input, options })] as const;
    });
    // The one cast of the client side: a mapped type cannot be built key by key without it.
    return Object.fromEntries(methods) as unknown as RpcClient<C>;
  }

  /** Names of the live instances of a service. */
  instances(service: ServiceName): Promise<string[]> {
    return this.caller.instances(service);
  }

  /** Fails what still waits and stops listening. */
  close(): Promise<void> {
    return this.caller.close();
  }
}
