import { GatehouseError, toGatehouseError } from '@gatehouse/contracts';
import { hashApiKey, isWellFormedApiKey } from '../keys/api-key.js';
import type { KeyCache } from '../keys/key-cache.js';
import { epochKeys, noEpoch } from '../keys/key-epochs.js';
import { keyStatus } from '../keys/key-view.js';
import type { ApiKeyRow } from '../keys/keys.store.js';
import type { LastUsed } from '../keys/last-used.js';
import type { PolicyState } from '../limits/gcra.js';
import { addressSubject, chargesOf, type Policies } from '../limits/policies.js';
import { type Charge, type RateLimiter, retryAfter } from '../limits/rate-limiter.js';

/** What stages 2 and 3 found out: the key, or why there is none; the limits charged either way. */
export interface Admission {
  readonly states: readonly PolicyState[];
  readonly outcome: { readonly key: ApiKeyRow } | { readonly refusal: GatehouseError };
}

/** RFC 6750: the scheme's name in any case, white space around the credential not part of it. */
const BEARER = /^bearer[ \t]+(\S+)[ \t]*$/i;

const unauthorized = (message = 'Invalid or missing API key'): GatehouseError => new GatehouseError('unauthorized', message);

const tooManyRequests = (states: readonly PolicyState[]): GatehouseError => {
  const seconds = retryAfter(states);
  return new GatehouseError('rate_limit_exceeded', `Too many requests. Please retry after ${seconds} seconds.`, { retryAfter: seconds });
};

/** Authentication and rate limits, in one round trip to the shared store for a key that is known here. */
export class Authenticator {
  constructor(
    private readonly keys: KeyCache,
    private readonly limiter: RateLimiter,
    private readonly policies: Policies,
    private readonly lastUsed: LastUsed,
    private readonly namespace: string,
  ) {}

  /**
   * @param header the `Authorization` header
   * @param address of the client; only requests that fail here count on it
   * Never throws: a failure to look up keys is a refusal too, `internal_error` 503.
   */
  async admit(header: string | undefined, address: string, creates: boolean): Promise<Admission> {
    try {
      return await this.decide(header, address, creates);
    } catch (error) {
      // Whose request it is nobody can tell, so nothing is counted; what the address has left can be told all the same.
      return { states: await this.limiter.look([this.failureCharge(address)]), outcome: { refusal: toGatehouseError(error) } };
    }
  }

  private async decide(header: string | undefined, address: string, creates: boolean): Promise<Admission> {
    const text = BEARER.exec(header ?? '')?.[1];
    if (text === undefined || !isWellFormedApiKey(text)) return this.refuse(unauthorized(), address);

    const secretHash = hashApiKey(text);
    const known = await this.keys.get(secretHash);
    const refusal = refusalOf(known.row);
    if (known.row === null || refusal !== null) return this.refuse(refusal ?? unauthorized(), address);

    const verdict = await this.limiter.charge(chargesOf(this.policies, known.row, creates), epochKeys(this.namespace, secretHash));
    const current = await this.keys.revalidate(secretHash, known, verdict.epoch);
    const laterRefusal = current === known ? null : refusalOf(current.row);
    if (current.row === null || laterRefusal !== null) return this.refuse(laterRefusal ?? unauthorized(), address);

    if (!verdict.admitted) return { states: verdict.states, outcome: { refusal: tooManyRequests(verdict.states) } };
    this.lastUsed.mark(current.row.id, Date.now());
    return { states: verdict.states, outcome: { key: current.row } };
  }

  /** A failing request counts on its address; once that is used up it is told to wait instead of what is wrong. */
  private async refuse(refusal: GatehouseError, address: string): Promise<Admission> {
    const { admitted, states } = await this.limiter.charge([this.failureCharge(address)], noEpoch(this.namespace));
    return { states, outcome: { refusal: admitted ? refusal : tooManyRequests(states) } };
  }

  private failureCharge(address: string): Charge {
    return { policy: this.policies.authFailure, subject: addressSubject(address) };
  }
}

const refusalOf = (row: ApiKeyRow | null): GatehouseError | null => {
  if (row === null) return unauthorized();
  const status = keyStatus(row, new Date());
  return status === 'active' ? null : status === 'expired' ? unauthorized('API key has expired') : unauthorized();
};
