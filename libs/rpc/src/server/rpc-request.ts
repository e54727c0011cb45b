import type { Caller, RpcCall, RpcMethodShape } from '@gatehouse/contracts';

/**
 * What Nest's pipeline gets as the data of a message: `context.switchToRpc().getData<RpcRequest>()` in a guard or an
 * interceptor. Sealed fields are opened, nothing is validated yet.
 */
export interface RpcRequest {
  readonly pattern: string;
  readonly method: RpcMethodShape;
  readonly caller: Caller;
  readonly input: unknown;
  readonly call: RpcCall;
  /** W3C Trace Context `traceparent` of the asking process. */
  readonly trace?: string;
}
