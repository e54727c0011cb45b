import { type Caller, GatehouseError, type RpcClient, uuidV4 } from '@gatehouse/contracts';
import type { healthRpc } from '@gatehouse/contracts';
import { type Database, pingDatabase } from '@gatehouse/database';
import type { Redis } from 'ioredis';

export const READY_DEADLINE_MS = 2_000;
type AskedService = 'vault' | 'sandbox' | 'budget';

export type Check = 'database' | 'redis' | AskedService;
export type HealthClients = Record<AskedService, Pick<RpcClient<ReturnType<typeof healthRpc>>, 'check'>>;

/** Asks everything the gateway needs, all at once; what does not answer well in time is failing. */
export class Readiness {
  constructor(
    private readonly database: Database,
    private readonly redis: Redis,
    private readonly clients: HealthClients,
  ) {}

  /** @throws GatehouseError `internal_error` 503 naming the failing parts */
  async check(): Promise<Record<Check, 'ok'>> {
    const caller: Caller = { teamId: 'gatehouse', keyId: 'gatehouse', scopes: [], userId: null, requestId: uuidV4() };
    const checks: Record<Check, Promise<unknown>> = {
      database: pingDatabase(this.database),
      redis: this.redis.ping(),
      vault: this.service('vault', caller),
      sandbox: this.service('sandbox', caller),
      budget: this.service('budget', caller),
    };
    const names = Object.keys(checks) as Check[];
    const answers = await Promise.all(names.map(async name => within(READY_DEADLINE_MS, checks[name])));
    const failing = names.filter((_name, index) => !answers[index]);
    if (failing.length > 0) throw new GatehouseError('internal_error', `Not ready: ${failing.join(', ')}`, { retryAfter: 5 });
    return Object.fromEntries(names.map(name => [name, 'ok'])) as Record<Check, 'ok'>;
  }

  private async service(name: AskedService, caller: Caller): Promise<void> {
    await this.clients[name].check(caller, {}, { timeoutMs: READY_DEADLINE_MS });
  }
}

/** Why a part is failing stands in that part's own log; here only whether it is. */
const within = async (deadlineMs: number, answer: Promise<unknown>): Promise<boolean> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>(resolve => {
    timer = setTimeout(() => resolve(false), deadlineMs);
  });
  const inTime = answer.then(
    () => true,
    () => false,
  );
  return Promise.race([inTime, late]).finally(() => clearTimeout(timer));
};
