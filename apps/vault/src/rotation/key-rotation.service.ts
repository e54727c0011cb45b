import { type Caller, type KeyCounts, type KeyRotation, type KeyRotationRef, keyRotationRpc, Nothing, type RpcHandlers } from '@gatehouse/contracts';
import { type JobContext, type JobContract, jobContract, type JobQueue, type JobWorker, type Logger, openQueue, openWorker } from '@gatehouse/platform';
import { RpcService } from '@gatehouse/rpc';
import type { KeyRing } from '@gatehouse/sealing';
import { Inject, type OnModuleDestroy } from '@nestjs/common';
import { JOBS, type JobsPlace, KEY_RING, LOGGER } from '../tokens.js';
import { KeyRotationStore } from './key-rotation.store.js';
import { rewrapSecrets, type RotationProgress } from './rewrap-secrets.js';

/**
 * A queue for each key: a process takes the rotations to its own current key only. While processes are restarted one by one
 * with another key first, one that is still to be restarted would bring the secrets back under the old key.
 */
const rotateTo = (keyId: string): JobContract<Nothing> => jobContract(`vault.rotate-keys.${keyId}`, Nothing);

/** A rotation is long; one that lost its process is taken up soon. */
const LEASE_MS = 5_000;

/** Brings the secrets of all teams under the current key, as a job that any vault process with the same current key may run. */
@RpcService(keyRotationRpc)
export class KeyRotationService implements RpcHandlers<typeof keyRotationRpc>, OnModuleDestroy {
  private readonly queue: JobQueue<Nothing>;
  private readonly worker: JobWorker;

  constructor(
    private readonly store: KeyRotationStore,
    @Inject(KEY_RING) private readonly keyRing: KeyRing,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(JOBS) private readonly place: JobsPlace,
  ) {
    const contract = rotateTo(keyRing.currentId);
    this.queue = openQueue(contract, { ...place, logger });
    this.worker = openWorker(contract, (_input, context) => this.rotate(context), { ...place, logger, concurrency: 1, leaseMs: LEASE_MS });
  }

  async start(caller: Caller): Promise<KeyRotationRef> {
    const keyId = this.keyRing.currentId;
    const id = await this.queue.add({}, { onlyOne: 'rotation' });
    this.logger.info({ kek: keyId, rotationId: id, requestId: caller.requestId }, 'rotation of keys asked for');
    return { id, keyId };
  }

  async status(_caller: Caller, { id, keyId }: KeyRotationRef): Promise<KeyRotation | null> {
    const job = await this.withQueueOf(keyId, queue => queue.stateOf(id));
    return job && { id, keyId, state: job.state, error: job.error, ...progressOf(job.progress) };
  }

  async counts(): Promise<KeyCounts> {
    const { currentId } = this.keyRing;
    return { currentKeyId: currentId, secretsByKey: { [currentId]: 0, ...(await this.store.countByKey()) } };
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all([this.worker.close(), this.queue.close()]);
  }

  private async withQueueOf<T>(keyId: string, work: (queue: JobQueue<Nothing>) => Promise<T>): Promise<T> {
    if (keyId === this.keyRing.currentId) return work(this.queue);
    const queue = openQueue(rotateTo(keyId), { ...this.place, logger: this.logger });
    try {
      return await work(queue);
    } finally {
      await queue.close();
    }
  }

  private async rotate({ signal, progress }: JobContext): Promise<void> {
    const kek = this.keyRing.currentId;
    this.logger.info({ kek }, 'rotation of keys begins');
    const done = await rewrapSecrets(this.store, this.keyRing, progress, signal);
    await progress(done);
    this.logger.info({ kek, ...done }, 'rotation of keys is done');
  }
}

const progressOf = (progress: unknown): RotationProgress => {
  const { rewrapped, unreadable } = (typeof progress === 'object' && progress !== null ? progress : {}) as Partial<RotationProgress>;
  return { rewrapped: rewrapped ?? 0, unreadable: unreadable ?? 0 };
};
