/** What the module provides beside classes, by the names it is injected with. */

/** The process's `Logger`. */
export const LOGGER = Symbol('Logger');
/** The `KeyRing` that wraps the keys of secrets. */
export const KEY_RING = Symbol('KeyRing');
/** The `RunTokenVerifier`. */
export const RUN_TOKENS = Symbol('RunTokens');
/** The `CoverageMode` of this installation. */
export const COVERAGE_MODE = Symbol('CoverageMode');
/** The `ServerSuggestion`s shown beside vaults. */
export const SUGGESTIONS = Symbol('Suggestions');
/** The `RefreshTokens` that asks token endpoints. */
export const REFRESH_TOKENS = Symbol('RefreshTokens');
/** Where jobs are queued: a {@link JobsPlace}. */
export const JOBS = Symbol('Jobs');

export interface JobsPlace {
  readonly redisUrl: string;
  readonly namespace: string;
}
