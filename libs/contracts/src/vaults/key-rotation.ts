import { Nothing } from '../health.js';
import { rpc, rpcContract } from '../rpc/contract.js';

/** How far the credentials are under the current key. */
export interface KeyRotation {
  /** The key that wraps what is new. */
  readonly currentKeyId: string;
  /** Credentials with a secret, by the key that wraps it; the current one always among them. */
  readonly secretsByKey: Readonly<Record<string, number>>;
  /** `failed` says why in `error`. */
  readonly state: 'idle' | 'waiting' | 'running' | 'failed';
  readonly error: string | null;
  /** Of the present or last run. */
  readonly rewrapped: number;
  /** Wrapped by a key that is not on the ring, or damaged: left as they are. */
  readonly unreadable: number;
}

/** For administrators of the installation; not reachable over HTTP. */
export const keyRotationRpc = rpcContract('vault', 'key-rotation', {
  /** Begins to bring every secret under the current key; nothing changes when that is going on already. */
  start: rpc(Nothing).returns<KeyRotation>(),
  status: rpc(Nothing).returns<KeyRotation>(),
});
