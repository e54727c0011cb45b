import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { OauthAuth } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import type { KeyRing } from '@gatehouse/sealing';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { AuditAction } from '../audit/audit-event.js';
import { AuditLog } from '../audit/audit-log.js';
import { RefreshFailed, type RefreshRequest, type TokenAnswer } from '../oauth/token-endpoint.js';
import { openSecret, sealSecret } from '../secrets/credential-secret.js';
import { KEY_RING, LOGGER, REFRESH_TOKENS } from '../tokens.js';
import { type ReleasableRow, ReleaseStore } from './release.store.js';

/** Asks a token endpoint. @throws RefreshFailed */
export type RefreshTokens = (request: RefreshRequest) => Promise<TokenAnswer>;

/** An access token that ends sooner is as good as ended when it arrives. */
const MARGIN_MS = 60_000;
/** Longer than the token endpoint may take and the answer needs to be kept. */
const LEASE_MS = 15_000;
/** How long a use waits for somebody else's refresh: one whose holder died is over by then. */
const PATIENCE_MS = 17_000;
const LOOK_AGAIN_MS = 100;
/** After a failure the endpoint is left alone for a while, longer when asking again cannot help. */
const RETRY_MS = { passing: 10_000, permanent: 60_000 };
const KEEP_ATTEMPTS = 5;

/** A token to use, or why there is none. `stale`: the old one, because a new one could not be had. */
export type AccessToken = { readonly token: string; readonly stale: boolean } | { readonly refused: string };

/**
 * Access tokens of oauth credentials, fresh where they can be (spec 10.8). However many uses in however many processes,
 * a token endpoint is asked once: uses of one process share a promise, processes a lease in the row. A new refresh token is
 * kept before anything else happens, because the old one may be void already.
 */
@Injectable()
export class RefreshCredential implements OnModuleDestroy {
  private readonly owner = randomUUID();
  private readonly refreshing = new Map<string, Promise<AccessToken>>();

  constructor(
    private readonly store: ReleaseStore,
    private readonly audit: AuditLog,
    @Inject(KEY_RING) private readonly keyRing: KeyRing,
    @Inject(REFRESH_TOKENS) private readonly ask: RefreshTokens,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async accessToken(row: ReleasableRow, auth: OauthAuth): Promise<AccessToken> {
    const fresh = freshToken(auth);
    if (fresh !== null) return { token: fresh, stale: false };
    if (refreshRequest(auth) === null) return auth.accessToken === undefined ? { refused: 'The credential holds no access token' } : { token: auth.accessToken, stale: false };
    // Not ended by whoever asks: the others want it too, and a rotated token must be kept.
    const shared = this.refreshing.get(row.id) ?? this.refreshed(row, auth).finally(() => this.refreshing.delete(row.id));
    this.refreshing.set(row.id, shared);
    return shared;
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.allSettled(this.refreshing.values());
  }

  private async refreshed(first: ReleasableRow, firstAuth: OauthAuth): Promise<AccessToken> {
    let [row, auth] = [first, firstAuth];
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      if (await this.store.leaseRefresh(row.id, row.secretVersion, this.owner, LEASE_MS)) return this.refresh(row, auth);

      const now = await this.store.find(row.id);
      if (now === null) return { refused: 'The credential is no longer active' };
      if (now.secretVersion !== row.secretVersion) {
        const opened = await openSecret(this.keyRing, now);
        if (opened.type === 'bearer') return { token: opened.token, stale: false };
        const fresh = freshToken(opened);
        if (fresh !== null) return { token: fresh, stale: false };
        [row, auth] = [now, opened];
      } else if (now.refreshNotBefore !== null && now.refreshNotBefore.getTime() > Date.now()) {
        return oldToken(auth, now.lastError ?? 'The token could not be refreshed');
      }
      if (performance.now() > end) return oldToken(auth, 'The token was not refreshed in time');
      await delay(LOOK_AGAIN_MS);
    }
  }

  private async refresh(row: ReleasableRow, auth: OauthAuth): Promise<AccessToken> {
    const request = refreshRequest(auth);
    if (request === null) throw new Error('a credential without a refresh set was leased for a refresh');
    let answer: TokenAnswer;
    try {
      answer = await this.ask(request);
    } catch (error) {
      if (!(error instanceof RefreshFailed)) throw error;
      this.logger.warn({ err: error, team: row.teamId, vault: row.vaultId, credential: row.id }, 'an access token could not be refreshed');
      await this.store.keepRefreshFailure(row.id, this.owner, error.message, error.permanent ? RETRY_MS.permanent : RETRY_MS.passing);
      await this.record(row, 'credential.refresh_failed', error.message);
      return oldToken(auth, error.message);
    }
    const { accessToken, refreshToken = auth.refreshToken, tokenType = auth.tokenType, expiresAt } = answer;
    const renewed: OauthAuth = { ...auth, accessToken, ...(refreshToken !== undefined && { refreshToken }), ...(tokenType !== undefined && { tokenType }) };
    // An answer without a lifetime ends the old one's too: it says nothing of the new token.
    if (expiresAt === undefined) delete renewed.expiresAt;
    else renewed.expiresAt = expiresAt;
    if (!(await this.keep(row, renewed))) return { refused: 'The credential was changed while its token was refreshed' };
    await this.record(row, 'credential.refreshed', new URL(request.tokenEndpoint).hostname);
    return { token: accessToken, stale: false };
  }

  /** The endpoint has answered and may have voided the old refresh token: a passing fault of the database must not lose the new one. */
  private async keep(row: ReleasableRow, auth: OauthAuth): Promise<boolean> {
    const secretVersion = row.secretVersion + 1;
    const envelope = await sealSecret(this.keyRing, { ...row, secretVersion }, auth);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.store.keepRefreshed(row.id, this.owner, secretVersion, envelope);
      } catch (err) {
        this.logger.error({ err, attempt, team: row.teamId, vault: row.vaultId, credential: row.id }, 'a refreshed token could not be kept');
        if (attempt === KEEP_ATTEMPTS) throw err;
        await delay(100 * 2 ** attempt);
      }
    }
  }

  private async record({ teamId, vaultId, id }: ReleasableRow, action: AuditAction, detail: string): Promise<void> {
    await this.audit.write({ action, teamId, vaultId, credentialId: id, keyId: null, runId: null, sandboxId: null, requestId: null, detail });
  }
}

/** null when there is none, or when it ends too soon. */
const freshToken = ({ accessToken, expiresAt }: OauthAuth): string | null => (expiresAt === undefined || Date.parse(expiresAt) - Date.now() > MARGIN_MS ? (accessToken ?? null) : null);

const refreshRequest = ({ tokenEndpoint, tokenEndpointAuth = 'none', clientId, clientSecret, refreshToken, scope, resource }: OauthAuth): RefreshRequest | null => {
  if (tokenEndpoint === undefined || clientId === undefined || refreshToken === undefined) return null;
  return { tokenEndpoint, tokenEndpointAuth, clientId, refreshToken, ...(clientSecret !== undefined && { clientSecret }), ...(scope !== undefined && { scope }), ...(resource !== undefined && { resource }) };
};

/** While it has not ended the old token still serves. */
const oldToken = ({ accessToken, expiresAt }: OauthAuth, reason: string): AccessToken =>
  accessToken !== undefined && expiresAt !== undefined && Date.parse(expiresAt) > Date.now() ? { token: accessToken, stale: true } : { refused: reason };
