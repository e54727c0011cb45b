import { describe, expect, test } from '@jest/globals';
import { DriverError } from '../driver-error.js';
import { StartGate } from './start-gate.js';

const never = () => new AbortController().signal;

function held(): { work: () => Promise<void>; release: () => void } {
  let release!: () => void;
  const done = new Promise<void>(resolve => (release = resolve));
  return { work: () => done, release };
}

describe('the start gate', () => {
  test('lets no more than its number in at a time, and everyone in the end', async () => {
    const gate = new StartGate(3, 5_000);
    let running = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 20 }, () =>
        gate.run(async () => {
          most = Math.max(most, ++running);
          await new Promise(resolve => setImmediate(resolve));
          running--;
        }, never()),
      ),
    );
    expect(most).toBe(3);
    expect(running).toBe(0);
  });

  test('refuses who waited too long and keeps its place for the next', async () => {
    const gate = new StartGate(1, 1);
    const first = held();
    const running = gate.run(first.work, never());
    await expect(gate.run(async () => 1, never())).rejects.toMatchObject(new DriverError('no-capacity', 'Too many sandboxes are starting'));
    first.release();
    await running;
    await expect(gate.run(async () => 2, never())).resolves.toBe(2);
  });

  test('forgets who gave up waiting', async () => {
    const gate = new StartGate(1, 5_000);
    const first = held();
    const running = gate.run(first.work, never());
    const patience = new AbortController();
    const waiting = gate.run(async () => 1, patience.signal);
    patience.abort(new Error('the caller left'));
    await expect(waiting).rejects.toThrow('the caller left');
    first.release();
    await running;
    await expect(gate.run(async () => 2, never())).resolves.toBe(2);
  });

  test('is quiet when nobody starts and nobody waits, and not before', async () => {
    const gate = new StartGate(1, 5_000);
    await gate.quiet(never());
    const [first, second] = [held(), held()];
    const running = [gate.run(first.work, never()), gate.run(second.work, never())];
    let isQuiet = false;
    const quiet = gate.quiet(never()).then(() => (isQuiet = true));
    first.release();
    await running[0];
    expect([isQuiet, gate.isQuiet]).toEqual([false, false]);
    second.release();
    await quiet;
    expect(gate.isQuiet).toBe(true);
    const third = held();
    const runsOn = gate.run(third.work, never());
    const patience = new AbortController();
    const waiting = gate.quiet(patience.signal);
    patience.abort();
    await waiting;
    third.release();
    await runsOn;
  });

  test('passes the place on after a failure', async () => {
    const gate = new StartGate(1, 5_000);
    await expect(gate.run(() => Promise.reject(new Error('broken')), never())).rejects.toThrow('broken');
    await expect(gate.run(async () => 3, never())).resolves.toBe(3);
  });
});
