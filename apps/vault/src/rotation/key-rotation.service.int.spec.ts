import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { KeyRotation, KeyRotationRef } from '@gatehouse/contracts';
import type { Database } from '@gatehouse/database';
import { createLogger } from '@gatehouse/platform';
import { parseKeyRing } from '@gatehouse/sealing';
import { eventually, testServices } from '@gatehouse/testing';
import { makeCaller, makeVault, newKey, openTestDatabase } from '../testing/test-vault.js';
import { KeyRotationService } from './key-rotation.service.js';
import type { Rewrapped, WrappedRow } from './key-rotation.store.js';
import { countUnder, filled, StoreOfKeys, unique } from './testing/secrets-of-keys.js';

let database: Database;
beforeAll(() => void (database = openTestDatabase()));
afterAll(() => database.$disconnect());
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** An installation: its queue, two keys, and secrets under the first of them. */
const installation = async (secrets: number) => {
  const [one, two] = [unique('one'), unique('two')];
  const [first, second] = [newKey(one), newKey(two)];
  const place = { redisUrl: testServices().redisUrl, namespace: `test-${randomUUID()}` };
  const vault = makeVault(database, { keyRing: parseKeyRing(first) });
  cleanups.push(() => vault.close());
  await filled(vault, secrets);
  const lines: string[] = [];
  const logger = createLogger({ service: 'vault', instance: 'spec', level: 'info', destination: { write: line => void lines.push(line) } });
  const process = (keys: string, store = new StoreOfKeys(database, [one, two])): KeyRotationService => {
    const service = new KeyRotationService(store, parseKeyRing(keys), logger, place);
    cleanups.push(() => service.onModuleDestroy());
    return service;
  };
  return { one, two, oldFirst: `${first},${second}`, newFirst: `${second},${first}`, lines, process };
};
const caller = makeCaller();
const until = async (service: KeyRotationService, rotation: KeyRotationRef, state: KeyRotation['state']): Promise<KeyRotation> =>
  eventually(async () => {
    const status = await service.status(caller, rotation);
    expect(status).toMatchObject({ state });
    return status as KeyRotation;
  });

describe('a rotation as a job', () => {
  test('is followed by its id, and says under which key', async () => {
    const { one, two, newFirst, process } = await installation(4);
    const service = process(newFirst);
    const rotation = await service.start(caller);
    expect(rotation.keyId).toBe(two);
    expect(await until(service, rotation, 'done')).toEqual({ id: rotation.id, keyId: two, state: 'done', error: null, rewrapped: 4, unreadable: 0 });
    expect(await countUnder(database, one)).toBe(0);
    expect(await service.counts()).toMatchObject({ currentKeyId: two, secretsByKey: { [two]: 4 } });
    expect(await service.status(caller, { id: 'none', keyId: two })).toBeNull();
  });

  test('is left by a process with another current key to one with that key', async () => {
    const { one, two, oldFirst, newFirst, process } = await installation(4);
    let release = (): void => undefined;
    const stopping = new Promise<void>(resolve => (release = resolve));
    class BusyStore extends StoreOfKeys {
      override async wrappedByOthers(): Promise<WrappedRow[]> {
        await stopping;
        return [];
      }
    }
    const asked = process(newFirst, new BusyStore(database, []));
    const rotation = await asked.start(caller);
    const stopped = asked.onModuleDestroy();
    release();
    await stopped;
    const old = process(oldFirst);
    // It had its turn: its own rotation, asked for later, is done.
    const back = await old.start(caller);
    expect(await until(old, back, 'done')).toMatchObject({ keyId: one, rewrapped: 0 });
    expect(await old.status(caller, rotation)).toMatchObject({ keyId: two, state: 'waiting', error: null });
    expect([await countUnder(database, one), await countUnder(database, two)]).toEqual([4, 0]);
    expect(await process(newFirst).start(caller)).toEqual(rotation);
    expect(await until(old, rotation, 'done')).toMatchObject({ keyId: two, rewrapped: 4 });
    expect([await countUnder(database, one), await countUnder(database, two)]).toEqual([0, 4]);
  });

  test('is not failed by processes that are stopped under it, however many', async () => {
    const { one, two, newFirst, process, lines } = await installation(19);
    let stopped = Promise.resolve();
    class StoppingStore extends StoreOfKeys {
      override async rewrap(currentKeyId: string, rows: readonly Rewrapped[]): Promise<ReadonlySet<string>> {
        const written = await super.rewrap(currentKeyId, rows);
        stopped = running.onModuleDestroy();
        return written;
      }
    }
    let running = process(newFirst, new StoppingStore(database, [one, two]));
    const rotation = await running.start(caller);
    for (let restart = 1; restart <= 6; restart++) {
      await eventually(async () => expect(await countUnder(database, two)).toBe(3 * restart));
      await stopped;
      running = process(newFirst, restart === 6 ? undefined : new StoppingStore(database, [one, two]));
    }
    expect(await until(running, rotation, 'done')).toMatchObject({ error: null, rewrapped: 1 });
    expect(lines.filter(line => /"level":(40|50|60)/.test(line))).toEqual([]);
  }, 20_000);

  test('is told in the log with the key it is under', async () => {
    const { two, newFirst, lines, process } = await installation(1);
    const service = process(newFirst);
    await until(service, await service.start(caller), 'done');
    const told = lines.map(line => JSON.parse(line) as { msg: string; kek?: string }).filter(({ msg }) => msg.startsWith('rotation of keys'));
    expect(told.map(({ kek }) => kek)).toEqual([two, two, two]);
    expect(lines.join('')).not.toContain('[redacted]');
  });
});
