import { rpc, rpcContract, type ServiceName } from './rpc/contract.js';

/** An input without fields. */
export class Nothing {}

/** Who answered. A process that cannot work right now does not answer but fails. */
export interface ServiceReadiness {
  readonly instance: string;
}

/** Every service answers this one, whatever else it does: is it able to work right now? */
export const healthRpc = <const Service extends ServiceName>(service: Service) =>
  rpcContract(service, `${service}-health`, {
    check: rpc(Nothing).returns<ServiceReadiness>().within(2_000),
  });
