import {
  type Caller,
  type CreateCredential,
  type Credential,
  credentialsRpc,
  CREDENTIALS_MAX,
  DEFAULT_INJECT,
  type DeleteCredential,
  GatehouseError,
  isUuid,
  normaliseServerUrl,
  notFound,
  type RpcCall,
  type RpcHandlers,
  type UpdateCredential,
  uuidV4,
} from '@gatehouse/contracts';
import { OneAtATime } from '@gatehouse/platform';
import { RpcService } from '@gatehouse/rpc';
import type { KeyRing } from '@gatehouse/sealing';
import { Inject } from '@nestjs/common';
import { apiEvent } from '../audit/audit-event.js';
import { sealSecret } from '../secrets/credential-secret.js';
import { KEY_RING } from '../tokens.js';
import { vaultIdOf } from '../vaults/vault-id.js';
import type { CredentialRow } from './credential-row.js';
import { CredentialViews } from './credential-view.js';
import { type CredentialChange, CredentialsStore, type OtherCredentials } from './credentials.store.js';


/** Credentials of vaults (spec 10.5). Secrets go in here and come out at a release only. */
@RpcService(credentialsRpc)
export class CredentialsService implements RpcHandlers<typeof credentialsRpc> {
  /** Creators of one vault wait here rather than each on a connection of its own behind the row's lock. */
  private readonly creators = new OneAtATime();
  /** Likewise those who change one credential. */
  private readonly changers = new OneAtATime();

  constructor(
    private readonly credentials: CredentialsStore,
    private readonly views: CredentialViews,
    @Inject(KEY_RING) private readonly keyRing: KeyRing,
  ) {}

  async create(caller: Caller, { vaultId, name = null, serverUrl, auth, inject = DEFAULT_INJECT, metadata = {} }: CreateCredential, { signal }: RpcCall): Promise<Credential> {
    const place = { id: uuidV4(), teamId: caller.teamId, vaultId: vaultIdOf(vaultId), secretVersion: 1, ...addressOf(serverUrl) };
    const envelope = await sealSecret(this.keyRing, place, auth);
    const row = await this.creators.run(place.vaultId, async () => {
      signal.throwIfAborted();
      return this.credentials.create({ ...place, name, serverUrl, inject, authType: auth.type, metadata }, envelope, apiEvent(caller, 'credential.created', place.vaultId, place.id));
    });
    if (row === 'vault-missing') throw notFound('Vault');
    if (row === 'duplicate') throw duplicate();
    if (row === 'full') throw new GatehouseError('credential_cap_exceeded', `Vault already has ${CREDENTIALS_MAX} active credentials`, { limit: CREDENTIALS_MAX });
    return this.views.of(row);
  }

  async update(caller: Caller, { vaultId: givenVaultId, credentialId: givenId, name, serverUrl, auth, inject, metadata }: UpdateCredential, { signal }: RpcCall): Promise<Credential> {
    const { vaultId, id } = await this.idsOf(caller.teamId, givenVaultId, givenId, 'active');
    const change = async (row: CredentialRow, others: OtherCredentials): Promise<CredentialChange> => {
      if (serverUrl !== undefined) await mustBeSameAddress(serverUrl, row, others);
      return { name, serverUrl, inject: inject === null ? DEFAULT_INJECT : inject, metadata, secret: auth && (await this.resealed(row, auth)) };
    };
    const event = apiEvent(caller, auth === undefined ? 'credential.updated' : 'credential.secret_replaced', vaultId, id);
    const row = await this.changers.run(id, async () => {
      signal.throwIfAborted();
      return this.credentials.update(caller.teamId, vaultId, id, change, event);
    });
    if (row === 'vault-missing') throw notFound('Vault');
    if (row === 'missing') throw notFound('Credential');
    return this.views.of(row);
  }

  /** Archives, or with `force` removes what is archived. */
  async delete(caller: Caller, { vaultId: givenVaultId, credentialId: givenId, force }: DeleteCredential): Promise<void> {
    const { teamId } = caller;
    const { vaultId, id } = await this.idsOf(teamId, givenVaultId, givenId, 'any');
    if (force === 'true') {
      const outcome = await this.credentials.remove(teamId, vaultId, id, apiEvent(caller, 'credential.deleted', vaultId, id));
      if (outcome === 'active') throw new GatehouseError('conflict', 'Credential must be archived before it is deleted');
      if (outcome === 'missing') throw await this.missing(teamId, vaultId);
    } else if (!(await this.credentials.archive(teamId, vaultId, id, apiEvent(caller, 'credential.archived', vaultId, id)))) {
      throw await this.missing(teamId, vaultId);
    }
  }

  private async resealed(row: CredentialRow, auth: NonNullable<UpdateCredential['auth']>): Promise<NonNullable<CredentialChange['secret']>> {
    const secretVersion = row.secretVersion + 1;
    return { authType: auth.type, secretVersion, envelope: await sealSecret(this.keyRing, { ...row, secretVersion }, auth) };
  }

  /** What cannot be an id is a thing that does not exist; of the two the vault comes first. */
  private async idsOf(teamId: string, vaultId: string, credentialId: string, vaults: 'active' | 'any'): Promise<{ vaultId: string; id: string }> {
    const vault = vaultIdOf(vaultId);
    if (!isUuid(credentialId)) throw await this.missing(teamId, vault, vaults);
    return { vaultId: vault, id: credentialId.toLowerCase() };
  }

  private async missing(teamId: string, vaultId: string, vaults: 'active' | 'any' = 'any'): Promise<GatehouseError> {
    return notFound((await this.credentials.vaultExists(teamId, vaultId, vaults)) ? 'Credential' : 'Vault');
  }
}

/** Two addresses are two credentials, so one cannot become the other. That another has it already is told first. */
const mustBeSameAddress = async (serverUrl: string, row: CredentialRow, others: OtherCredentials): Promise<void> => {
  const { serverUrlNormalized } = addressOf(serverUrl);
  if (serverUrlNormalized === row.serverUrlNormalized) return;
  if (await others.haveUrl(serverUrlNormalized)) throw duplicate();
  throw new GatehouseError('validation_error', 'serverUrl must be the same address as before');
};

const duplicate = (): GatehouseError => new GatehouseError('conflict', 'An active credential for this serverUrl already exists in the vault');

const addressOf = (serverUrl: string): { serverUrlNormalized: string; hostPattern: string } => {
  const { normalized, hostPattern } = normaliseServerUrl(serverUrl);
  return { serverUrlNormalized: normalized, hostPattern };
};
