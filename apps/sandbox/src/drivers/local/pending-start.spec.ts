import { spawn } from 'node:child_process';
import { describe, expect, test } from '@jest/globals';
import { PendingStart } from './runtime.js';

const begin = (script: string): { child: ReturnType<typeof spawn>; start: PendingStart } => {
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore', 'pipe'], detached: true });
  return { child, start: new PendingStart(child, '/no/log') };
};
const ended = (child: ReturnType<typeof spawn>): Promise<void> => new Promise(resolve => (child.exitCode === null && child.signalCode === null ? child.once('exit', () => resolve()) : resolve()));

describe('a start that waits', () => {
  test('whose disk is never mounted ends with the signal', async () => {
    const { child, start } = begin('sleep 1000');
    const end = new AbortController();
    const mounted = start.mountedBefore(end.signal);
    end.abort();
    await expect(mounted).rejects.toThrow('start failed');
    await ended(child);
    expect(start.hasEnded).toBe(true);
  });

  test('begins nothing when the signal has aborted already', async () => {
    const { child, start } = begin('sleep 1000');
    await expect(start.mountedBefore(AbortSignal.abort())).rejects.toThrow('start failed');
    await ended(child);
  });

  test('ends when whoever was to give it the word is gone, and when it is cancelled', async () => {
    const waiting = begin('echo mounted; read -r word && [ "$word" = go ] || exit 1; sleep 1000');
    await waiting.start.mountedBefore(new AbortController().signal);
    waiting.child.stdin?.destroy();
    await ended(waiting.child);
    expect(waiting.child.exitCode).toBe(1);
    const cancelled = begin('echo mounted; sleep 1000');
    await cancelled.start.cancel();
    expect(cancelled.start.hasEnded).toBe(true);
  });
});
