/** What the module provides beside classes, by the names it is injected with. */

/** This node's name (string): its instance name on the transport, and what a row says that holds a sandbox. */
export const NODE_ID = Symbol('NodeId');
/** The `SandboxDriver` of this node. */
export const SANDBOX_DRIVER = Symbol('SandboxDriver');
/** The `Installation`: what it gives and allows. */
export const INSTALLATION = Symbol('Installation');
/** The `KeyRing` that encrypts environment values at rest. */
export const ENV_KEYS = Symbol('EnvKeys');
/** The process's `Logger`. */
export const LOGGER = Symbol('Logger');
/** The clock idle times are measured with: an `After`. */
export const AFTER = Symbol('After');
/** Boolean: boxes end with this process instead of being taken over by the next one. */
export const STOP_ON_SHUTDOWN = Symbol('StopOnShutdown');
