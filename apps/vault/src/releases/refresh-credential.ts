import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { OauthAuth } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import type { KeyRing } from '@gatehouse/sealing';
import { Inject, Injectable } from '@nestjs/common';
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
/** Refreshes of one team under way in this process: slow token endpoints of one must not take the sockets of all. */
const REFRESHING_TEAM_MAX = 50;
/** After a failure the endpoint is left alone for a while, longer when asking again cannot help. */
const RETRY_MS = { passing: 10_000, permanent: 60_000 };
/** How long new tokens are as fresh as can be, however short a life their provider gives them: uses that began with the refresh share it. */
const NEW_FOR_MS = 5_000;
/** How long the database may be away before new tokens are given up. */
const KEEP_FOR_MS = 60_000;

/** A token to use, or why there is none. `stale`: the old one, because a new one could not be had. */
export type AccessToken = { readonly token: string; readonly secretVersion: number; readonly stale: boolean } | { readonly refused: string };

/**
 * Access tokens of oauth credentials, fresh where they can be (spec 10.8). However many uses in however many processes,
 * a token endpoint is asked once: uses of one process share a promise, processes a lease in the row. A new refresh token is
 * kept before anything else happens, because the old one may be void already.
 */
@Injectable()
export class RefreshCredential {
  private readonly owner = randomUUID();
  /** By credential and version of its secret. */
  private readonly refreshing = new Map<string, { readonly teamId: string; readonly token: Promise<AccessToken> }>();
  private readonly stopping = new AbortController();

  constructor(
    private readonly store: ReleaseStore,
    private readonly audit: AuditLog,
    @Inject(KEY_RING) private readonly keyRing: KeyRing,
    @Inject(REFRESH_TOKENS) private readonly ask: RefreshTokens,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @throws EnvelopeBroken when another process has kept what cannot be read here */
  async accessToken(row: ReleasableRow, auth: OauthAuth): Promise<AccessToken> {
    const fresh = tokenBefore(auth, MARGIN_MS);
    if (fresh !== null) return { token: fresh, secretVersion: row.secretVersion, stale: false };
    if (refreshRequest(auth) === null) return asItIs(row, auth);
    const brandNew = row.justRefreshed ? tokenBefore(auth, 0) : null;
    return brandNew === null ? this.shared(row, auth) : { token: brandNew, secretVersion: row.secretVersion, stale: false };
  }

  /** Not ended by whoever asks: the others want it too, and a rotated token must be kept. */
  private shared(row: ReleasableRow, auth: OauthAuth): Promise<AccessToken> {
    const key = `${row.id}/${row.secretVersion}`;
    const underWay = this.refreshing.get(key);
    if (underWay !== undefined) return underWay.token;
    const ofTeam = [...this.refreshing.values()].filter(({ teamId }) => teamId === row.teamId).length;
    if (ofTeam >= REFRESHING_TEAM_MAX) return Promise.resolve(oldToken(row, auth, 'Too many tokens are being refreshed'));
    const token = this.refreshed(row, auth).finally(() => this.refreshing.delete(key));
    this.refreshing.set(key, { teamId: row.teamId, token });
    return token;
  }

  /** Begins no refresh any more, ends those that only wait, and resolves when those under way are kept. */
  async close(): Promise<void> {
    this.stopping.abort();
    await Promise.allSettled([...this.refreshing.values()].map(({ token }) => token));
  }

  private async refreshed(row: ReleasableRow, auth: OauthAuth): Promise<AccessToken> {
    const request = refreshRequest(auth);
    if (request === null) return asItIs(row, auth);
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      if (!this.stopping.signal.aborted && (await this.store.leaseRefresh(row, this.owner, LEASE_MS))) {
        const outcome = await this.refresh(row, auth, request);
        if (outcome !== 'changed-meanwhile') return outcome;
      }
      const now = await this.store.find(row);
      if (now === null) return { refused: 'The credential is no longer active' };
      if (now.secretVersion !== row.secretVersion) {
        const opened = await openSecret(this.keyRing, now);
        if (opened.type === 'bearer') return { token: opened.token, secretVersion: now.secretVersion, stale: false };
        // Newer than what was asked about: good as long as it lives, however short a life its provider gives it.
        const token = tokenBefore(opened, 0);
        return token === null ? this.shared(now, opened) : { token, secretVersion: now.secretVersion, stale: false };
      }
      if (now.coolingDown) {
        return oldToken(row, auth, now.lastError ?? 'The token could not be refreshed');
      }
      if (performance.now() > end || this.stopping.signal.aborted) return oldToken(row, auth, 'The token was not refreshed in time');
      await delay(LOOK_AGAIN_MS);
    }
  }

  private async refresh(row: ReleasableRow, auth: OauthAuth, request: RefreshRequest): Promise<AccessToken | 'changed-meanwhile'> {
    let answer: TokenAnswer;
    try {
      answer = await this.ask(request);
    } catch (error) {
      if (!(error instanceof RefreshFailed)) throw error;
      this.logger.warn({ err: error, team: row.teamId, vault: row.vaultId, credential: row.id }, 'an access token could not be refreshed');
      await this.store.keepRefreshFailure(row, this.owner, error.message, error.permanent ? RETRY_MS.permanent : RETRY_MS.passing);
      await this.record(row, 'credential.refresh_failed', error.message);
      return oldToken(row, auth, error.message);
    }
    const { accessToken, refreshToken = auth.refreshToken, tokenType = auth.tokenType, expiresAt } = answer;
    const renewed: OauthAuth = { ...auth, accessToken, ...(refreshToken !== undefined && { refreshToken }), ...(tokenType !== undefined && { tokenType }) };
    // An answer without a lifetime ends the old one's too: it says nothing of the new token.
    if (expiresAt === undefined) delete renewed.expiresAt;
    else renewed.expiresAt = expiresAt;
    if (!(await this.keep(row, renewed))) return 'changed-meanwhile';
    await this.record(row, 'credential.refreshed', new URL(request.tokenEndpoint).hostname);
    return { token: accessToken, secretVersion: row.secretVersion + 1, stale: false };
  }

  /** The endpoint has answered and may have voided the old refresh token: a passing fault of the database must not lose the new one. */
  private async keep(row: ReleasableRow, auth: OauthAuth): Promise<boolean> {
    const next = { ...row, secretVersion: row.secretVersion + 1 };
    const envelope = await sealSecret(this.keyRing, next, auth);
    const end = performance.now() + KEEP_FOR_MS;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.store.keepRefreshed(next, envelope, newForMs(auth));
      } catch (err) {
        this.logger.error({ err, attempt, team: row.teamId, vault: row.vaultId, credential: row.id }, 'a refreshed token could not be kept; it is tried again for a while');
        if (performance.now() > end) throw err;
        await delay(Math.min(100 * 2 ** attempt, 1_000));
        // Others would ask with a token that is void by now.
        await this.store.extendLease(row, this.owner, LEASE_MS).catch(() => undefined); // the next attempt tells
      }
    }
  }

  private async record({ teamId, vaultId, id }: ReleasableRow, action: AuditAction, detail: string): Promise<void> {
    await this.audit.write({ action, teamId, vaultId, credentialId: id, keyId: null, runId: null, sandboxId: null, requestId: null, detail });
  }
}

/** The access token if it lives longer than that, else null. */
const tokenBefore = ({ accessToken, expiresAt }: OauthAuth, marginMs: number): string | null => (expiresAt === undefined || Date.parse(expiresAt) - Date.now() > marginMs ? (accessToken ?? null) : null);

/** Not beyond its end: an expired token must be refreshed at once. */
const newForMs = ({ expiresAt }: OauthAuth): number => Math.max(0, Math.min(NEW_FOR_MS, expiresAt === undefined ? NEW_FOR_MS : Date.parse(expiresAt) - Date.now()));

/** Without a way to a new one the server has to judge the token there is. */
const asItIs = ({ secretVersion }: ReleasableRow, { accessToken }: OauthAuth): AccessToken => (accessToken === undefined ? { refused: 'The credential holds no access token' } : { token: accessToken, secretVersion, stale: false });

const refreshRequest = ({ tokenEndpoint, tokenEndpointAuth = 'none', clientId, clientSecret, refreshToken, scope, resource }: OauthAuth): RefreshRequest | null => {
  if (tokenEndpoint === undefined || clientId === undefined || refreshToken === undefined) return null;
  return { tokenEndpoint, tokenEndpointAuth, clientId, refreshToken, ...(clientSecret !== undefined && { clientSecret }), ...(scope !== undefined && { scope }), ...(resource !== undefined && { resource }) };
};

/** While it has not ended the old token still serves. */
const oldToken = ({ secretVersion }: ReleasableRow, auth: OauthAuth, reason: string): AccessToken => {
  const token = tokenBefore(auth, 0);
  return token === null ? { refused: reason } : { token, secretVersion, stale: true };
};
