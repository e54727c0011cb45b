import type { RpcContract } from '@gatehouse/contracts';
import { type FactoryProvider, Inject } from '@nestjs/common';
import { RpcClients } from '../client/rpc-clients.js';

/** Token of a contract's client; reads well in Nest's own message when the module does not list the contract. */
export const rpcClientToken = ({ service, resource }: RpcContract): string => `RpcClient(${service}/${resource})`;

/** Injects the `RpcClient<typeof contract>`. The contract must be listed in {@link RpcModule}'s `calls`. */
export const InjectRpc = (contract: RpcContract): ReturnType<typeof Inject> => Inject(rpcClientToken(contract));

/** Provider of a contract's client, built when the process starts. */
export const rpcClientProvider = (contract: RpcContract): FactoryProvider => ({
  provide: rpcClientToken(contract),
  inject: [RpcClients],
  useFactory: (clients: RpcClients) => clients.of(contract),
});
