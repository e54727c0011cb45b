import { type Caller, type ReleasedCredential, releasesRpc, uuidV7 } from '@gatehouse/contracts';
import { createLogger } from '@gatehouse/platform';
import { RedisBus, RpcClients } from '@gatehouse/rpc';
import { RunTokenSigner } from '@gatehouse/sealing';
import type { System } from '@gatehouse/testing';

/** Asks for credentials as the egress does, in the name of runs of one team. */
export interface Releases {
  release(vaultIds: readonly string[], url: string): Promise<ReleasedCredential>;
  report(vaultIds: readonly string[], credential: { readonly credentialId: string; readonly secretVersion: number }, status: number): Promise<void>;
  close(): Promise<void>;
}

export const openReleases = ({ environment }: System, { teamId, keyId }: { readonly teamId: string; readonly keyId: string }): Releases => {
  const logger = createLogger({ service: 'egress', instance: 'spec', level: 'silent' });
  const bus = new RedisBus({ url: environment['REDIS_URL'] ?? '', logger });
  const clients = new RpcClients({ bus, transportKey: Buffer.from(environment['GATEHOUSE_TRANSPORT_KEY'] ?? '', 'base64'), namespace: environment['REDIS_NAMESPACE'] ?? '', logger });
  const releases = clients.of(releasesRpc);
  const signer = RunTokenSigner.from(environment['RUN_TOKEN_PRIVATE_KEY'] ?? '');
  const caller: Caller = { teamId, keyId, scopes: [], userId: null, requestId: 'spec' };
  // A run shows the same token with each of its requests.
  const tokens = new Map<string, Promise<string>>();
  const tokenFor = (vaultIds: readonly string[]): Promise<string> => {
    const known = tokens.get(vaultIds.join()) ?? signer.sign({ teamId, keyId, sandboxId: 'box-1', runId: uuidV7(), vaultIds }, { lifetimeSeconds: 600 });
    tokens.set(vaultIds.join(), known);
    return known;
  };
  return {
    release: async (vaultIds, url) => releases.release(caller, { runToken: await tokenFor(vaultIds), url }),
    report: async (vaultIds, { credentialId, secretVersion }, status) => releases.report(caller, { runToken: await tokenFor(vaultIds), credentialId, secretVersion, status }),
    close: async () => {
      await clients.close();
      await bus.close();
    },
  };
};
