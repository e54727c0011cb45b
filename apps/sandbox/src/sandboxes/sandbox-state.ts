import { SANDBOX_STATUSES, type SandboxStatus } from '@gatehouse/contracts';

interface Transition {
  readonly from: readonly SandboxStatus[];
  /** `gone`: no row is left. */
  readonly to: SandboxStatus | 'gone';
}

/** What happens to a sandbox once its row was written, status `creating`. An event that finds another status changes nothing. */
export const TRANSITIONS = {
  /** Its box answers; the first time also: files are written and setup is done. */
  ready: { from: ['creating'], to: 'active' },
  /** The first provisioning failed or was cut short by a crash: there is nothing worth keeping. */
  discard: { from: ['creating'], to: 'gone' },
  /** Idle for its time, or the node stops its sandboxes. The disk stays. */
  stop: { from: ['active'], to: 'stopped' },
  /** The box ended though nobody asked. */
  lose: { from: ['active'], to: 'error' },
  /**
   * A call needs it. Also from `active` and, once it has lived, from `creating`: what ended a life may have kept its node
   * from writing that down, and a node knows better than its rows what runs there.
   */
  wake: { from: SANDBOX_STATUSES, to: 'creating' },
  /** A later start failed: the disk stays, the next call tries again. */
  fail: { from: ['creating'], to: 'error' },
  /** The node came back without its box. A first provisioning is discarded instead. */
  restart: { from: ['creating', 'active'], to: 'stopped' },
  delete: { from: SANDBOX_STATUSES, to: 'gone' },
} as const satisfies Readonly<Record<string, Transition>>;

export type SandboxEvent = keyof typeof TRANSITIONS;
/** Events that leave a row behind. */
export type StatusEvent = { [E in SandboxEvent]: (typeof TRANSITIONS)[E]['to'] extends SandboxStatus ? E : never }[SandboxEvent];

/** The generation of the first start; `creating` in a later one is a wake. */
export const FIRST_GENERATION = 1;
