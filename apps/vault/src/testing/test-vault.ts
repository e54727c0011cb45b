import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { type Caller, CreateCredential, CreateVault, type Credential, type CredentialAuth, parseInput, type RpcCall, unavailable, uuidV4, uuidV7, type Vault } from '@gatehouse/contracts';
import { type Database, openDatabase } from '@gatehouse/database';
import { createLogger } from '@gatehouse/platform';
import { type KeyRing, parseKeyRing, parseRunTokenPublicKeys, RunTokenSigner, RunTokenVerifier } from '@gatehouse/sealing';
import { testServices } from '@gatehouse/testing';
import { AuditLog } from '../audit/audit-log.js';
import { CredentialViews } from '../credentials/credential-view.js';
import { CredentialsService } from '../credentials/credentials.service.js';
import { CredentialsStore } from '../credentials/credentials.store.js';
import { RefreshCredential, type RefreshTokens } from '../releases/refresh-credential.js';
import { ReleaseStore } from '../releases/release.store.js';
import { ReleasesService } from '../releases/releases.service.js';
import { Touches } from '../releases/touches.js';
import { VaultsService } from '../vaults/vaults.service.js';
import { VaultsStore } from '../vaults/vaults.store.js';

export const call: RpcCall = { signal: new AbortController().signal, deadline: Number.MAX_SAFE_INTEGER };
export const openTestDatabase = (): Database => openDatabase({ url: testServices().databaseUrl, applicationName: 'vault-spec' });

/** A key of a team of its own. */
export const makeCaller = (changes: Partial<Caller> = {}): Caller => ({ teamId: uuidV4(), keyId: uuidV4(), scopes: ['*'], userId: null, requestId: 'spec', ...changes });

export const newKey = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;

/** Signs the tokens of runs that {@link makeVault}s believe. */
export const signer = RunTokenSigner.from(generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }).d ?? '');

export const runTokenFor = ({ teamId, keyId }: Caller, vaultIds: readonly string[]): Promise<string> => signer.sign({ teamId, keyId, sandboxId: 'box-1', runId: uuidV7(), vaultIds }, { lifetimeSeconds: 60 });

export interface TestVault {
  readonly keyRing: KeyRing;
  readonly vaults: VaultsService;
  readonly credentials: CredentialsService;
  readonly releases: ReleasesService;
  /** Ids of each write of last uses. */
  readonly touchWrites: string[][];
  vault(caller: Caller, body?: object): Promise<Vault>;
  credential(caller: Caller, vaultId: string, auth: CredentialAuth, body?: object): Promise<Credential>;
  /** As its caller sees it. */
  seen(caller: Caller, credentialId: string): Promise<Credential>;
  close(): Promise<void>;
}

interface TestVaultOptions {
  readonly keyRing?: KeyRing;
  readonly refresh?: RefreshTokens;
  /** In place of writing audit events. */
  readonly record?: () => Promise<void>;
  /** So many answers of the database about kept tokens are lost on the way. */
  readonly losingAnswers?: number;
}

/** A store whose statements arrive, but not always their answers. */
class LosingStore extends ReleaseStore {
  readonly touchWrites: string[][] = [];

  constructor(
    database: Database,
    private losing: number,
  ) {
    super(database);
  }

  override async keepRefreshed(...args: Parameters<ReleaseStore['keepRefreshed']>): Promise<boolean> {
    const kept = await super.keepRefreshed(...args);
    if (this.losing-- > 0) throw unavailable(new Error('the answer was lost'));
    return kept;
  }

  override touch(touches: Parameters<ReleaseStore['touch']>[0]): ReturnType<ReleaseStore['touch']> {
    this.touchWrites.push(touches.map(({ id }) => id));
    return super.touch(touches);
  }
}

/** One process's worth of the vault service on a real database. */
export const makeVault = (database: Database, { keyRing = parseKeyRing(newKey('k1')), refresh = () => Promise.reject(new Error('no token endpoint expected')), record, losingAnswers = 0 }: TestVaultOptions = {}): TestVault => {
  const logger = createLogger({ service: 'vault', instance: 'spec', level: 'silent' });
  const views = new CredentialViews(keyRing, logger);
  const vaults = new VaultsService(new VaultsStore(database), views, { servers: () => Promise.resolve([]) } as never, 'warn', []);
  const credentials = new CredentialsService(new CredentialsStore(database), views, keyRing);
  const store = new LosingStore(database, losingAnswers);
  const audit = new AuditLog(database, logger);
  if (record !== undefined) audit.write = record;
  const touches = new Touches(store, logger);
  const refreshing = new RefreshCredential(store, audit, keyRing, refresh, logger);
  const releases = new ReleasesService(store, refreshing, touches, audit, new RunTokenVerifier(parseRunTokenPublicKeys(signer.publicKey)), keyRing, logger);
  return {
    keyRing,
    vaults,
    credentials,
    releases,
    touchWrites: store.touchWrites,
    vault: (caller, body = {}) => vaults.create(caller, parseInput(CreateVault, { name: 'Vault', ...body })),
    credential: (caller, vaultId, auth, body = {}) => credentials.create(caller, parseInput(CreateCredential, { vaultId, serverUrl: 'https://mcp.example.com/mcp', auth, ...body }), call),
    seen: async (caller, id) => {
      const { vaults: all } = await vaults.list(caller, {}, call);
      const found = all.flatMap(vault => vault.credentials).find(credential => credential.id === id);
      if (found === undefined) throw new Error(`credential ${id} is not seen`);
      return found;
    },
    close: async () => {
      await refreshing.close();
      await touches.close();
      await audit.close();
    },
  };
};
