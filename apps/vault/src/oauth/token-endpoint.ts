import { checkedAddresses, type ResolveHost, resolveHost } from './checked-address.js';
import { postForm } from './post-form.js';
import { RefreshFailed } from './refresh-failed.js';
import { refreshForm, type RefreshRequest } from './refresh-form.js';
import { parseTokenAnswer, type TokenAnswer } from './token-answer.js';

export { RefreshFailed, type RefreshRequest, type TokenAnswer };

const TIMEOUT_MS = 10_000;

export interface RefreshOptions {
  /** Whether the endpoint may be at a loopback, private, shared or unique local address. Link-local never. */
  allowPrivate: boolean;
  /** For all of it, from the name's resolution to the last byte of the answer. 10 s unless told. */
  timeoutMs?: number;
  /** Ends it sooner. The provider may have issued new tokens by then; they are lost. */
  signal?: AbortSignal;
  now?: () => number;
  resolve?: ResolveHost;
}

/**
 * Asks a token endpoint for new tokens (RFC 6749 section 6), once.
 * @throws RefreshFailed when there are none in time; the reason of `signal`, when that was aborted.
 */
export const refreshTokens = async (request: RefreshRequest, { allowPrivate, timeoutMs = TIMEOUT_MS, signal, now = Date.now, resolve = resolveHost }: RefreshOptions): Promise<TokenAnswer> => {
  signal?.throwIfAborted();
  const url = endpointUrl(request.tokenEndpoint);
  const form = refreshForm(request);

  const end = new AbortController();
  const timer = setTimeout(() => end.abort(new RefreshFailed('The token endpoint did not answer in time')), timeoutMs);
  const abort = () => end.abort(signal?.reason);
  signal?.addEventListener('abort', abort);
  try {
    const addresses = await checkedAddresses(url, { allowPrivate, resolve, signal: end.signal });
    const sentAtMs = now();
    return parseTokenAnswer(await postForm(url, form, addresses, end.signal), sentAtMs);
  } catch (error) {
    end.signal.throwIfAborted(); // what broke then is only how it showed
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
};

const endpointUrl = (text: string): URL => {
  const url = URL.canParse(text) ? new URL(text) : undefined; // its error would quote the text
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') throw new RefreshFailed('The token endpoint is not an http or https URL');
  return url;
};
