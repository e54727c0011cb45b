import { Nothing } from '../health.js';
import { rpc, rpcContract } from '../rpc/contract.js';
import { Required } from '../validation/input-fields.js';
import { IsText } from '../validation/rules.js';

/** Which key wraps how many secrets. */
export interface KeyCounts {
  /** The key that wraps what is new, where this was answered: another process may have been started with another one. */
  readonly currentKeyId: string;
  /** Credentials with a secret, by the key that wraps it; the current one always among them. */
  readonly secretsByKey: Readonly<Record<string, number>>;
}

/** A rotation, as it was started. */
export class KeyRotationRef {
  @Required()
  @IsText({ min: 1, max: 64 })
  id!: string;

  /** The key that every secret is brought under: the current one where it was started. */
  @Required()
  @IsText({ min: 1, max: 64 })
  keyId!: string;
}

/** How far a rotation is. */
export interface KeyRotation {
  readonly id: string;
  readonly keyId: string;
  /** It waits for a process whose current key is `keyId`; any other would bring secrets back under an old one. `failed` says why in `error`. */
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  /** Also why it failed last while it waits for another attempt. */
  readonly error: string | null;
  /** Of the present or last attempt. */
  readonly rewrapped: number;
  /** Wrapped by a key that is not on the ring, or damaged: left as they are. */
  readonly unreadable: number;
}

/** For administrators of the installation; not reachable over HTTP. */
export const keyRotationRpc = rpcContract('vault', 'key-rotation', {
  /** Begins to bring every secret under the current key of whoever answers; where that is going on already, it is that rotation. */
  start: rpc(Nothing).returns<KeyRotationRef>(),
  /** Null when no such rotation is known, or none any more. */
  status: rpc(KeyRotationRef).returns<KeyRotation | null>(),
  /** Looks at every credential: not to be asked again and again. */
  counts: rpc(Nothing).returns<KeyCounts>(),
});
