import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Credential, CredentialAuth, CredentialAuthView } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import { EnvelopeBroken, type KeyRing } from '@gatehouse/sealing';
import { Inject, Injectable } from '@nestjs/common';
import { openSecret } from '../secrets/credential-secret.js';
import { KEY_RING, LOGGER } from '../tokens.js';
import type { CredentialRow } from './credential-row.js';

/** So many secrets are opened before others get a turn: a team with thousands of them must not hold up everybody. */
const BETWEEN_TURNS = 50;
/** Damaged rows that were told of; the log needs to hear of each once. */
const TOLD_MAX = 10_000;

/** Credentials as callers see them: what is kept, never the secret itself. */
@Injectable()
export class CredentialViews {
  private readonly told = new Set<string>();
  private opened = 0;

  constructor(
    @Inject(KEY_RING) private readonly keyRing: KeyRing,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** In the same order. */
  async ofAll(rows: readonly CredentialRow[]): Promise<Credential[]> {
    const views: Credential[] = [];
    for (const row of rows) views.push(await this.of(row));
    return views;
  }

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
    if (++this.opened % BETWEEN_TURNS === 0) await nextTurn();
    try {
      return authView(await openSecret(this.keyRing, row));
    } catch (err) {
      if (!(err instanceof EnvelopeBroken)) throw err;
      this.tell(row, err);
      return { type: row.authType, unreadable: true };
    }
  }

  private tell({ teamId, vaultId, id, secretVersion, keyId }: CredentialRow, err: unknown): void {
    const secret = `${id}/${secretVersion}`;
    if (this.told.has(secret)) return;
    if (this.told.size >= TOLD_MAX) this.told.clear();
    this.told.add(secret);
    this.logger.error({ err, team: teamId, vault: vaultId, credential: id, kek: keyId }, 'the secret of a credential cannot be read');
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
