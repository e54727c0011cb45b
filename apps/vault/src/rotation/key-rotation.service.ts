import { type Caller, IsText, type KeyRotation, keyRotationRpc, Required, type RpcHandlers } from '@gatehouse/contracts';
import { jobContract, type JobQueue, type Logger, openQueue, openWorker } from '@gatehouse/platform';
import { RpcService } from '@gatehouse/rpc';
import type { KeyRing } from '@gatehouse/sealing';
import { Inject, type OnModuleDestroy } from '@nestjs/common';
import { JOBS, type JobsPlace, KEY_RING, LOGGER } from '../tokens.js';
import { KeyRotationStore } from './key-rotation.store.js';
import { rewrapSecrets, type RotationProgress } from './rewrap-secrets.js';

class RotateKeys {
  /** For the look back only: whoever runs the job brings secrets under the key that is current there. */
  @Required()
  @IsText({ max: 64 })
  currentKeyId!: string;
}

const rotateKeys = jobContract('vault.rotate-keys', RotateKeys);

/** A rotation is long; one that lost its process is taken up soon. */
const LEASE_MS = 5_000;

/** Brings the secrets of all teams under the current key, as a job that any vault process may run. */
@RpcService(keyRotationRpc)
export class KeyRotationService implements RpcHandlers<typeof keyRotationRpc>, OnModuleDestroy {
  private readonly queue: JobQueue<RotateKeys>;
  private readonly worker: { close(): Promise<void> };
  private readonly stopping = new AbortController();

  constructor(
    private readonly store: KeyRotationStore,
    @Inject(KEY_RING) private readonly keyRing: KeyRing,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(JOBS) place: JobsPlace,
  ) {
    this.queue = openQueue(rotateKeys, { ...place, logger });
    this.worker = openWorker(rotateKeys, (_input, { progress }) => this.rotate(progress), { ...place, logger, concurrency: 1, leaseMs: LEASE_MS });
  }

  async start(caller: Caller): Promise<KeyRotation> {
    await this.queue.add({ currentKeyId: this.keyRing.currentId }, { onlyOne: 'rotation' });
    this.logger.info({ key: this.keyRing.currentId, requestId: caller.requestId }, 'rotation of keys asked for');
    return this.status();
  }

  async status(): Promise<KeyRotation> {
    const [counts, job] = await Promise.all([this.store.countByKey(), this.queue.latest()]);
    const { rewrapped, unreadable } = progressOf(job?.progress);
    return {
      currentKeyId: this.keyRing.currentId,
      secretsByKey: { [this.keyRing.currentId]: 0, ...counts },
      state: job === null || job.state === 'done' ? 'idle' : job.state,
      error: job?.error ?? null,
      rewrapped,
      unreadable,
    };
  }

  async onModuleDestroy(): Promise<void> {
    this.stopping.abort(new Error('the vault process is stopping; the rotation goes on elsewhere, or when one is back'));
    await this.worker.close();
    await this.queue.close();
  }

  private async rotate(progress: (value: RotationProgress) => Promise<void>): Promise<void> {
    const { currentId } = this.keyRing;
    this.logger.info({ key: currentId }, 'rotation of keys begins');
    const done = await rewrapSecrets(this.store, this.keyRing, progress, this.stopping.signal);
    await progress(done);
    this.logger.info({ key: currentId, ...done }, 'rotation of keys is done');
  }
}

const progressOf = (progress: unknown): RotationProgress => {
  const { rewrapped, unreadable } = (typeof progress === 'object' && progress !== null ? progress : {}) as Partial<RotationProgress>;
  return { rewrapped: rewrapped ?? 0, unreadable: unreadable ?? 0 };
};
