import type { Credential, CredentialAuth, CredentialAuthView } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import { EnvelopeBroken, type KeyRing } from '@gatehouse/sealing';
import { Inject, Injectable } from '@nestjs/common';
import { openSecret } from '../secrets/credential-secret.js';
import { KEY_RING, LOGGER } from '../tokens.js';
import type { CredentialRow } from './credential-row.js';

/** Credentials as callers see them: what is kept, never the secret itself. */
@Injectable()
export class CredentialViews {
  constructor(
    @Inject(KEY_RING) private readonly keyRing: KeyRing,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** A secret that does not open is shown as such: one damaged row must not hide the others. */
  async of(row: CredentialRow): Promise<Credential> {
    return {
      id: row.id,
      vaultId: row.vaultId,
      name: row.name,
      serverUrl: row.serverUrl,
      serverUrlNormalized: row.serverUrlNormalized,
      hostPattern: row.hostPattern,
      inject: row.inject,
      authType: row.authType,
      auth: await this.auth(row),
      metadata: row.metadata,
      status: row.status,
      lastError: row.lastError,
      lastResolvedAt: row.lastResolvedAt?.toISOString() ?? null,
      createdAt: row.createdAt.toISOString(),
      updatedAt: row.updatedAt.toISOString(),
      archivedAt: row.archivedAt?.toISOString() ?? null,
    };
  }

  private async auth(row: CredentialRow): Promise<CredentialAuthView> {
    if (row.status === 'archived') return { type: row.authType, archived: true };
    try {
      return authView(await openSecret(this.keyRing, row));
    } catch (err) {
      if (!(err instanceof EnvelopeBroken)) throw err;
      this.logger.error({ err, team: row.teamId, vault: row.vaultId, credential: row.id, kek: row.keyId }, 'the secret of a credential cannot be read');
      return { type: row.authType, unreadable: true };
    }
  }
}

export const authView = (auth: CredentialAuth): CredentialAuthView => {
  if (auth.type === 'bearer') return { type: 'bearer', hasToken: true };
  const { accessToken, refreshToken, clientId, clientSecret, tokenEndpoint, tokenEndpointAuth = refreshToken === undefined ? null : 'none', tokenType = null, expiresAt, scope = null, resource = null } = auth;
  return {
    type: 'oauth',
    hasAccessToken: accessToken !== undefined,
    hasRefreshToken: refreshToken !== undefined,
    hasClientId: clientId !== undefined,
    hasClientSecret: clientSecret !== undefined,
    hasTokenEndpoint: tokenEndpoint !== undefined,
    tokenEndpointAuth,
    tokenType,
    expiresAt: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
    scope,
    resource,
  };
};
