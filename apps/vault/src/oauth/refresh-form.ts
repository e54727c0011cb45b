import type { TokenEndpointAuth } from '@gatehouse/contracts';
import { RefreshFailed } from './refresh-failed.js';

export interface RefreshRequest {
  tokenEndpoint: string;
  tokenEndpointAuth: TokenEndpointAuth;
  clientId: string;
  /** Not sent with `none`. */
  clientSecret?: string;
  refreshToken: string;
  scope?: string;
  /** RFC 8707. */
  resource?: string;
}

export interface Form {
  /** `application/x-www-form-urlencoded`. */
  readonly body: string;
  readonly authorization?: string;
}

/**
 * A refresh request (RFC 6749 section 6) with its client authentication (section 2.3.1). `client_id` is in the form in every
 * case: providers that know the client by the header alone do not mind.
 * @throws RefreshFailed when the authentication needs a secret and there is none.
 */
export const refreshForm = ({ tokenEndpointAuth, clientId, clientSecret, refreshToken, scope, resource }: RefreshRequest): Form => {
  const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: clientId });
  if (scope) form.set('scope', scope);
  if (resource) form.set('resource', resource);
  if (tokenEndpointAuth === 'none') return { body: form.toString() };

  if (!clientSecret) throw new RefreshFailed(`The credential has no client secret, which ${tokenEndpointAuth} needs`);
  if (tokenEndpointAuth === 'client_secret_basic') return { body: form.toString(), authorization: basic(clientId, clientSecret) };
  form.set('client_secret', clientSecret);
  return { body: form.toString() };
};

/** Both parts are form-encoded first, so that an id may have a colon. */
const basic = (clientId: string, clientSecret: string): string => `Basic ${Buffer.from(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`).toString('base64')}`;

const formEncoded = (value: string): string => new URLSearchParams({ '': value }).toString().slice('='.length);
