/**
 * No new tokens. `message` is one sentence for the team and names no secret, no part of the endpoint's URL and nothing of the
 * provider's own text. `cause` is for the log and says no more than the code of an error, or its name.
 */
export class RefreshFailed extends Error {
  override readonly name = 'RefreshFailed';
  /** The provider said that these tokens or this client will not do, ever: another attempt with them cannot pass. */
  readonly permanent: boolean;

  constructor(message: string, { permanent = false, cause }: { permanent?: boolean; cause?: unknown } = {}) {
    super(message, cause === undefined ? undefined : { cause: codeOf(cause) });
    this.permanent = permanent;
  }
}

/** Errors of the network carry certificates, host names and the bytes that could not be parsed, which may be tokens. */
const codeOf = (error: unknown): Error => {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return new Error([code, name].find((word): word is string => typeof word === 'string' && /^\w{1,64}$/.test(word)) ?? 'unknown');
};
