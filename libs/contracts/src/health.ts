import { rpc, rpcContract, type ServiceName } from './rpc/contract.js';

/** An input without fields. */
export class Nothing {}

/** `ok`, or in a few words what a process cannot reach. Never an address or a credential. */
export interface ServiceReadiness {
  readonly ready: boolean;
  readonly instance: string;
}

/** Every service answers this one, whatever else it does: is it able to work right now? */
export const healthRpc = <const Service extends ServiceName>(service: Service) =>
  rpcContract(service, `${service}-health`, {
    check: rpc(Nothing).returns<ServiceReadiness>().within(2_000),
  });
