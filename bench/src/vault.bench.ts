import { randomUUID } from 'node:crypto';
import { type Caller, credentialsRpc, releasesRpc, uuidV7, vaultsRpc } from '@gatehouse/contracts';
import { RedisBus, RpcClients } from '@gatehouse/rpc';
import { RunTokenSigner } from '@gatehouse/sealing';
import { createSystem } from '@gatehouse/testing';
import { quiet } from './quiet-logger.js';
import { ms, percentile, perSecond, printTable } from './table.js';

const SERVER = 'https://mcp.example.com/mcp';
const RELEASES_EACH = 3_000;
const CREATES = 2_000;
const CONCURRENCIES = [1, 16, 64];

/** Releases as the egress asks for them, over RPC; creates over HTTP and over RPC. One vault process, durable Postgres. */
export const vaultBench = async (): Promise<void> => {
  const system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '1000000', RATE_LIMIT_CREATE_BURST: '1000000', RATE_LIMIT_TEAM_BURST: '1000000' });
  const { REDIS_URL = '', REDIS_NAMESPACE = '', GATEHOUSE_TRANSPORT_KEY = '', RUN_TOKEN_PRIVATE_KEY = '' } = system.environment;
  const bus = new RedisBus({ url: REDIS_URL, logger: quiet });
  const clients = new RpcClients({ bus, transportKey: Buffer.from(GATEHOUSE_TRANSPORT_KEY, 'base64'), namespace: REDIS_NAMESPACE, logger: quiet });
  try {
    const { gateway } = await system.startAll();
    const { secret, teamId, keyId } = await system.createKey();
    const caller: Caller = { teamId, keyId, scopes: ['*'], userId: null, requestId: 'bench' };
    const [vaults, credentials, releases] = [clients.of(vaultsRpc), clients.of(credentialsRpc), clients.of(releasesRpc)];
    const auth = { type: 'bearer', token: randomUUID() } as const;

    // A full vault: the one is found among 20.
    const { id: vaultId } = await vaults.create(caller, { name: 'bench' });
    for (let index = 0; index < 20; index++) await credentials.create(caller, { vaultId, serverUrl: index === 0 ? SERVER : `https://s${index}.example.com/`, auth });
    const runToken = await RunTokenSigner.from(RUN_TOKEN_PRIVATE_KEY).sign({ teamId, keyId, sandboxId: 'box', runId: uuidV7(), vaultIds: [vaultId] }, { lifetimeSeconds: 3_600 });
    const release = async (): Promise<void> => {
      const answer = await releases.release(caller, { runToken, url: SERVER });
      if (answer.outcome !== 'released') throw new Error(`a release was ${answer.outcome}`);
    };
    await timed(500, 16, release);
    const rows: string[][] = [];
    for (const concurrency of CONCURRENCIES) rows.push(rowOf(`release, ${concurrency} at once`, await timed(RELEASES_EACH, concurrency, release)));

    const vaultIds = await Promise.all(Array.from({ length: CREATES / 20 }, async () => (await vaults.create(caller, { name: 'bench' })).id));
    const create = async (index: number): Promise<void> => {
      const answer = await fetch(`${gateway.url}/v1/mcp/vaults/${vaultIds[index % vaultIds.length] ?? ''}/credentials`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ serverUrl: `https://c${Math.floor(index / vaultIds.length)}.example.com/`, auth }),
      });
      if (answer.status !== 201) throw new Error(`a create was ${answer.status}: ${await answer.text()}`);
      await answer.arrayBuffer();
    };
    rows.push(rowOf('create over HTTP, 16 at once', await timed(CREATES, 16, create)));
    printTable('Vault: secrets out over RPC (sealed, each on record in Postgres), credentials in over HTTP', ['what', 'samples', 'rate', 'p50', 'p99'], rows);
  } finally {
    await clients.close();
    await bus.close();
    await system.close();
  }
};

interface Timed {
  readonly latencies: readonly number[];
  readonly seconds: number;
}

const timed = async (count: number, concurrency: number, work: (index: number) => Promise<void>): Promise<Timed> => {
  const latencies: number[] = [];
  const begun = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const started = performance.now();
      await work(index);
      latencies.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return { latencies, seconds: (performance.now() - begun) / 1_000 };
};

const rowOf = (what: string, { latencies, seconds }: Timed): string[] => [what, String(latencies.length), perSecond(latencies.length / seconds), ms(percentile(latencies, 0.5)), ms(percentile(latencies, 0.99))];
