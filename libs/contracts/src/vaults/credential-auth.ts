import { Optional, Required } from '../validation/input-fields.js';
import { IsDateTime, IsHttpUrl, IsLine, IsOneOf, IsText, Rule } from '../validation/rules.js';
import { IsWellFormed } from './well-formed.js';

export const AUTH_TYPES = ['bearer', 'oauth'] as const;
export type AuthType = (typeof AUTH_TYPES)[number];

export const TOKEN_ENDPOINT_AUTHS = ['none', 'client_secret_basic', 'client_secret_post'] as const;
export type TokenEndpointAuth = (typeof TOKEN_ENDPOINT_AUTHS)[number];

/** Those that prove who the client is. */
const SECRET_AUTHS: readonly TokenEndpointAuth[] = TOKEN_ENDPOINT_AUTHS.filter(auth => auth !== 'none');

const SECRET_MAX = 16_384;

export class BearerAuth {
  @Required({ blank: 'missing' })
  @IsOneOf(['bearer'])
  type!: 'bearer';

  @Required({ trim: true })
  @IsLine({ min: 1, max: SECRET_MAX })
  @IsWellFormed()
  token!: string;
}

/** What only all fields of an oauth set together can tell. Their own rules may not hold yet: none of them is repeated unless it is a known word. */
const oauthSet = (_value: unknown, whole?: object): string | null => {
  const { accessToken, refreshToken, clientId, clientSecret, tokenEndpoint, tokenEndpointAuth } = whole as OauthAuth;
  const refreshable = [refreshToken, tokenEndpoint, clientId];
  if ([refreshToken, tokenEndpoint, tokenEndpointAuth].some(given => given !== undefined) && refreshable.includes(undefined)) return 'oauth with a refresh needs refreshToken, tokenEndpoint and clientId together';
  if (tokenEndpointAuth !== undefined && SECRET_AUTHS.includes(tokenEndpointAuth) && clientSecret === undefined) return `oauth with ${tokenEndpointAuth} needs clientSecret`;
  if ([accessToken, refreshToken, clientId, clientSecret].every(given => given === undefined)) return 'oauth needs at least one of accessToken, refreshToken, clientId and clientSecret';
  return null;
};

export class OauthAuth {
  @Required({ blank: 'missing' })
  @IsOneOf(['oauth'])
  @Rule('oauthSet', oauthSet)
  type!: 'oauth';

  @Optional({ trim: true, blank: 'absent' })
  @IsLine({ max: SECRET_MAX })
  @IsWellFormed()
  accessToken?: string;

  @Optional({ trim: true, blank: 'absent' })
  @IsText({ max: SECRET_MAX })
  refreshToken?: string;

  @Optional({ trim: true, blank: 'absent' })
  @IsText({ max: SECRET_MAX })
  clientId?: string;

  @Optional({ trim: true, blank: 'absent' })
  @IsText({ max: SECRET_MAX })
  clientSecret?: string;

  @Optional({ trim: true, blank: 'absent' })
  @IsHttpUrl({ max: SECRET_MAX })
  tokenEndpoint?: string;

  @Optional({ trim: true, blank: 'absent' })
  @IsOneOf(TOKEN_ENDPOINT_AUTHS)
  tokenEndpointAuth?: TokenEndpointAuth;

  @Optional({ trim: true, blank: 'absent' })
  @IsLine({ max: SECRET_MAX })
  tokenType?: string;

  @Optional({ trim: true, blank: 'absent' })
  @IsDateTime()
  expiresAt?: string;

  @Optional({ trim: true, blank: 'absent' })
  @IsText({ max: SECRET_MAX })
  scope?: string;

  @Optional({ trim: true, blank: 'absent' })
  @IsText({ max: SECRET_MAX })
  resource?: string;
}

/** What a credential holds. Never returned by anything but a release. */
export type CredentialAuth = BearerAuth | OauthAuth;

/** What may be seen of it. */
export type CredentialAuthView =
  | { readonly type: 'bearer'; readonly hasToken: true }
  | {
      readonly type: 'oauth';
      readonly hasAccessToken: boolean;
      readonly hasRefreshToken: boolean;
      readonly hasClientId: boolean;
      readonly hasClientSecret: boolean;
      readonly hasTokenEndpoint: boolean;
      readonly tokenEndpointAuth: TokenEndpointAuth | null;
      readonly tokenType: string | null;
      readonly expiresAt: string | null;
      readonly scope: string | null;
      readonly resource: string | null;
    }
  | { readonly type: AuthType; readonly archived: true }
  | { readonly type: AuthType; readonly unreadable: true };
