import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@gatehouse/testing';
import type { ExitReason } from '../sandbox.driver.js';
import type { BoxShape, IdleBox } from './box-starter.js';
import { Pool, type PoolOptions, type PoolParts } from './pool.js';
import { StartGate } from './start-gate.js';

const MIB = 1024 * 1024;
const shape = (diskMiB: number, changes: Partial<BoxShape['limits']> = {}): BoxShape => ({
  template: 'host',
  limits: { memoryBytes: 256 * MIB, cpuMillis: 1000, pids: 160, diskBytes: diskMiB * MIB, ...changes },
});
const A = shape(64);
const B = shape(128);

/** A box in name only: the pool never looks inside. */
class PretendedBox {
  isRunning = true;
  ended: ExitReason | undefined;
  private readonly listeners: ((why: ExitReason) => void)[] = [];

  constructor(readonly memoryBytes: number) {}

  async stats(): Promise<{ memoryBytes: number }> {
    if (!this.isRunning) throw new Error('it has ended');
    return { memoryBytes: this.memoryBytes };
  }

  async stop(): Promise<void> {
    this.end('stopped');
  }

  onExit(listener: (why: ExitReason) => void): void {
    this.listeners.push(listener);
  }

  end(why: ExitReason): void {
    this.isRunning = false;
    this.ended = why;
    for (const listener of this.listeners.splice(0)) listener(why);
  }
}

describe('the pool', () => {
  const pools: Pool[] = [];
  afterEach(() => Promise.all(pools.splice(0).map(pool => pool.close())));

  const begin = (options: Partial<PoolOptions> = {}, parts: Partial<Omit<PoolParts, 'options'>> = {}) => {
    const made: (IdleBox & { pretended: PretendedBox })[] = [];
    const warnings: string[] = [];
    const world = {
      room: 100,
      boxBytes: 8 * MIB,
      nowMs: 0,
      start: async (asked: BoxShape): Promise<void> => void asked,
    };
    const gate = new StartGate(1, 5_000);
    const pool = new Pool({
      options: { size: 4, memoryBytes: 1024 * MIB, first: A, ...options },
      gate,
      log: { info: () => undefined, warn: (_fields, message) => void warnings.push(message), error: () => undefined },
      start: async asked => {
        await world.start(asked);
        const pretended = new PretendedBox(world.boxBytes);
        const box = { box: pretended, shape: asked, slot: `slot${made.length}`, pretended } as unknown as IdleBox & { pretended: PretendedBox };
        made.push(box);
        return box;
      },
      room: () => world.room,
      now: () => world.nowMs,
      ...parts,
    });
    pools.push(pool);
    /** Disk sizes of the boxes that lie ready. */
    const ready = () => made.filter(({ pretended }) => pretended.isRunning && !taken.has(pretended)).map(box => box.shape.limits.diskBytes / MIB).sort();
    const taken = new Set<PretendedBox>();
    const take = async (asked: BoxShape, signal = new AbortController().signal) => {
      const box = (await pool.take(asked, signal)) as (IdleBox & { pretended: PretendedBox }) | null;
      if (box) taken.add(box.pretended);
      return box;
    };
    const ask = async (asked: BoxShape) => {
      const box = await take(asked);
      pool.note({ ...asked, sandboxId: 'x', generation: 1, env: {} });
      world.nowMs += 1_000; // whoever got it has had his time
      pool.tend();
      return box;
    };
    return { pool, gate, world, made, warnings, ready, take, ask };
  };

  test('is empty until it is told to fill itself, and never fuller than its size', async () => {
    const { pool, made, ready, take } = begin();
    expect(await take(A)).toBeNull();
    expect(made).toEqual([]);
    pool.fill();
    await eventually(() => expect(ready()).toEqual([64, 64, 64, 64]));
    pool.tend();
    await new Promise(resolve => setImmediate(resolve));
    expect(made).toHaveLength(4);
  });

  test('gives each box once, whatever asks at once', async () => {
    const { pool, ready, take } = begin();
    pool.fill();
    await eventually(() => expect(ready()).toHaveLength(4));
    const boxes = (await Promise.all(Array.from({ length: 100 }, () => take(A)))).filter(box => box !== null);
    expect(boxes).toHaveLength(4);
    expect(new Set(boxes).size).toBe(4);
  });

  test('gives no box whose limits of the start are not those that are asked for', async () => {
    const { pool, ready, take } = begin();
    pool.fill();
    await eventually(() => expect(ready()).toHaveLength(4));
    for (const other of [B, shape(64, { pids: 200 }), shape(64, { memoryBytes: 100 * MIB }), { ...A, template: 'other' }]) expect(await take(other)).toBeNull();
    expect(await take(shape(64, { memoryBytes: 1024 * MIB, cpuMillis: 50 }))).not.toBeNull();
  });

  test('holds what was asked for last', async () => {
    const { pool, ready, ask } = begin();
    pool.fill();
    await eventually(() => expect(ready()).toEqual([64, 64, 64, 64]));
    expect(await ask(B)).toBeNull();
    await eventually(() => expect(ready()).toEqual([128, 64, 64, 64]));
    expect(await ask(A)).not.toBeNull();
    await eventually(() => expect(ready()).toEqual([128, 64, 64, 64]));
    for (let asked = 0; asked < 4; asked++) {
      expect(await ask(B)).not.toBeNull();
      await eventually(() => expect(ready()).toHaveLength(4));
    }
    expect(ready()).toEqual([128, 128, 128, 128]);
  });

  test('makes nothing while something else starts', async () => {
    const { pool, gate, made, ready } = begin();
    let finish = () => undefined as void;
    const starting = gate.run(() => new Promise<void>(resolve => (finish = resolve)), new AbortController().signal);
    pool.fill();
    await new Promise(resolve => setImmediate(resolve));
    expect(made).toEqual([]);
    finish();
    await starting;
    await eventually(() => expect(ready()).toHaveLength(4));
  });

  test('gives the box that is just being made to one who asks for it, and to no other', async () => {
    const { pool, world, made, take, ready } = begin({ size: 1 });
    let finish = () => undefined as void;
    world.start = () => new Promise(resolve => (finish = resolve));
    pool.fill();
    const asked = [take(A), take(A), take(B)];
    world.start = async () => undefined;
    finish();
    expect(await Promise.all(asked)).toEqual([made[0], null, null]);
    await eventually(() => expect([made.length, ready().length]).toEqual([2, 1]));
    await eventually(async () => expect(await take(A)).toBe(made[1]));
  });

  test('keeps the box that is just being made for another, when the one who asked for it gives up', async () => {
    const { pool, world, made, take, warnings } = begin({ size: 1 });
    let finish = () => undefined as void;
    world.start = () => new Promise(resolve => (finish = resolve));
    pool.fill();
    const reason = new Error('no longer wanted');
    const controller = new AbortController();
    const asked = take(A, controller.signal);
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    finish();
    await eventually(async () => expect(await take(A)).toBe(made[0]));
    expect(warnings).toEqual([]);
  });

  test('hands a box out only once it has been measured: what its owner does then is no failure of the pool', async () => {
    const { pool, take, warnings } = begin({ size: 1 });
    pool.fill();
    await eventually(async () => {
      const box = await take(A);
      expect(box).not.toBeNull();
      box?.pretended.end('stopped');
    });
    await new Promise(resolve => setImmediate(resolve));
    expect(warnings).toEqual([]);
  });

  test('gives way where the node needs the room, even while it waits, and comes back', async () => {
    const { pool, gate, world, ready, made } = begin();
    pool.fill();
    await eventually(() => expect(ready()).toHaveLength(4));
    world.room = 1;
    pool.tend();
    await eventually(() => expect(ready()).toHaveLength(1));
    let finish = () => undefined as void;
    const starting = gate.run(() => new Promise<void>(resolve => (finish = resolve)), new AbortController().signal);
    world.room = 3;
    pool.tend();
    world.room = 0;
    pool.tend();
    await eventually(() => expect(ready()).toHaveLength(0));
    finish();
    await starting;
    expect(made).toHaveLength(4);
    world.room = 2;
    pool.tend();
    await eventually(() => expect(ready()).toHaveLength(2));
  });

  test('uses no more memory than it may, and says so once', async () => {
    const { pool, warnings, ready, take } = begin({ size: 10, memoryBytes: 30 * MIB });
    pool.fill();
    await eventually(() => expect(ready()).toHaveLength(3));
    await take(A);
    pool.tend();
    expect(warnings).toEqual(['the pool of sandboxes has less memory than its size needs, and stays smaller']);
  });

  test('replaces a box that ends, without haste', async () => {
    const { pool, world, warnings, made, ready, take } = begin({ size: 2 });
    pool.fill();
    await eventually(() => expect(ready()).toHaveLength(2));
    made[0]?.pretended.end('oom');
    expect(warnings).toEqual(['a sandbox ended in the pool: oom']);
    await new Promise(resolve => setImmediate(resolve));
    expect(made).toHaveLength(2);
    world.nowMs += 1_000;
    pool.tend();
    await eventually(() => expect(made).toHaveLength(3));
    // One that is about to end is not given, though the pool was not told yet.
    if (made[1]) made[1].pretended.isRunning = false;
    expect(await take(A)).toBe(made[2]);
    expect(await take(A)).toBeNull();
  });

  test('waits longer with every failure, up to a minute', async () => {
    const { pool, world, warnings, ready } = begin();
    world.start = () => Promise.reject(new Error('broken'));
    pool.fill();
    const pausesMs: number[] = [];
    for (let failures = 1; failures <= 8; failures++) {
      await eventually(() => expect(warnings).toHaveLength(failures));
      let waitedMs = 0;
      while (warnings.length === failures && waitedMs < 120_000) {
        world.nowMs += 500;
        waitedMs += 500;
        pool.tend();
        for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve));
      }
      pausesMs.push(waitedMs);
    }
    expect(pausesMs).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    world.start = async () => undefined;
    world.nowMs += 60_000;
    pool.tend();
    await eventually(() => expect(ready()).toHaveLength(4));
  });

  test('replaces what is older than an hour', async () => {
    const { pool, world, made, ready } = begin();
    pool.fill();
    await eventually(() => expect(ready()).toHaveLength(4));
    world.nowMs += 3_600_001;
    pool.tend();
    await eventually(() => expect(made).toHaveLength(8));
    expect(made.slice(0, 4).map(({ pretended }) => pretended.ended)).toEqual(Array(4).fill('stopped'));
  });

  test('takes back what was not needed, and ends everything when it closes', async () => {
    const { pool, made, ready, take } = begin({ size: 2 });
    pool.fill();
    await eventually(() => expect(ready()).toHaveLength(2));
    const [kept, late] = [await take(A), await take(A)];
    if (!kept || !late) throw new Error('the pool gave none');
    await pool.giveBack(kept);
    expect(await take(A)).toMatchObject({ slot: kept.slot });
    await pool.giveBack(kept);
    await pool.close();
    expect(kept.pretended.ended).toBe('stopped');
    await pool.giveBack(late);
    expect(made.map(({ pretended }) => pretended.ended)).toEqual(made.map(() => 'stopped'));
    pool.fill();
    expect(await take(A)).toBeNull();
  });
});
