import { type Caller, GatehouseError, type ReleaseCredential, type ReleasedCredential, releasesRpc, type ReportCredential, type RpcHandlers } from '@gatehouse/contracts';
import type { Logger } from '@gatehouse/platform';
import { RpcService } from '@gatehouse/rpc';
import { EnvelopeBroken, type KeyRing, type RunTokenClaims, RunTokenInvalid, type RunTokenVerifier } from '@gatehouse/sealing';
import { Inject } from '@nestjs/common';
import type { AuditAction } from '../audit/audit-event.js';
import { AuditLog } from '../audit/audit-log.js';
import { openSecret } from '../secrets/credential-secret.js';
import { KEY_RING, LOGGER, RUN_TOKENS } from '../tokens.js';
import { matchCredential } from './match-credential.js';
import { type AccessToken, RefreshCredential } from './refresh-credential.js';
import { type ReleasableRow, ReleaseStore } from './release.store.js';
import { Touches } from './touches.js';

/** RFC 9110: visible ASCII, blanks, and bytes that nobody interprets. */
const NOT_FOR_HEADERS = /[^\t\u0020-\u007e\u0080-\u00ff]/;

/** Gives secrets to requests of runs (spec 10.7): the only way one leaves. */
@RpcService(releasesRpc)
export class ReleasesService implements RpcHandlers<typeof releasesRpc> {
  constructor(
    private readonly store: ReleaseStore,
    private readonly refreshing: RefreshCredential,
    private readonly touches: Touches,
    private readonly audit: AuditLog,
    @Inject(RUN_TOKENS) private readonly runTokens: RunTokenVerifier,
    @Inject(KEY_RING) private readonly keyRing: KeyRing,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async release(caller: Caller, { runToken, url }: ReleaseCredential): Promise<ReleasedCredential> {
    const run = await this.run(caller, runToken);
    const target = new URL(url);
    if (run.vaultIds.length === 0) return { outcome: 'none' };
    const row = matchCredential(target, run.vaultIds, await this.store.candidates(run.teamId, run.vaultIds, target.hostname));
    if (row === null) return { outcome: 'none' };

    const access = await this.secretOf(row);
    if ('refused' in access) {
      await this.record(caller, run, row, 'credential.refused', access.refused);
      return { outcome: 'refused', credentialId: row.id, reason: access.refused };
    }
    await this.record(caller, run, row, 'credential.released', target.hostname);
    const { token: secret, secretVersion, stale } = access;
    this.touches.resolved({ id: row.id, secretVersion }, { clears: !stale });
    return { outcome: 'released', credentialId: row.id, secretVersion, inject: row.inject, secret };
  }

  /** What a server said to a request that carried a credential. */
  async report(caller: Caller, { runToken, credentialId, secretVersion, status }: ReportCredential): Promise<void> {
    const run = await this.run(caller, runToken);
    if (status !== 401 && status !== 403) return;
    const id = credentialId.toLowerCase();
    if (await this.store.isAmong(run.teamId, run.vaultIds, id)) this.touches.failed({ id, secretVersion }, `The server answered ${status}`);
  }

  /** @throws GatehouseError `unauthorized`; which check failed is only logged */
  private async run(caller: Caller, runToken: string): Promise<RunTokenClaims> {
    try {
      const claims = await this.runTokens.verify(runToken);
      if (claims.teamId !== caller.teamId) throw new RunTokenInvalid('it is of another team');
      return claims;
    } catch (err) {
      if (!(err instanceof RunTokenInvalid)) throw err;
      this.logger.warn({ err, team: caller.teamId, requestId: caller.requestId }, 'a run token was refused');
      throw new GatehouseError('unauthorized', 'Invalid run token');
    }
  }

  private async secretOf(row: ReleasableRow): Promise<AccessToken> {
    try {
      const auth = await openSecret(this.keyRing, row);
      const access = auth.type === 'bearer' ? { token: auth.token, secretVersion: row.secretVersion, stale: false } : await this.refreshing.accessToken(row, auth);
      return 'token' in access && row.inject.kind === 'header' && NOT_FOR_HEADERS.test(access.token) ? { refused: 'The secret has characters that no header can carry' } : access;
    } catch (err) {
      if (!(err instanceof EnvelopeBroken)) throw err;
      this.logger.error({ err, team: row.teamId, vault: row.vaultId, credential: row.id, kek: row.keyId }, 'the secret of a credential cannot be read');
      return { refused: 'The secret of the credential cannot be read' };
    }
  }

  private record({ requestId }: Caller, { teamId, keyId, runId, sandboxId }: RunTokenClaims, { vaultId, id }: ReleasableRow, action: AuditAction, detail: string): Promise<void> {
    return this.audit.write({ action, teamId, vaultId, credentialId: id, keyId, runId, sandboxId, requestId, detail });
  }
}
