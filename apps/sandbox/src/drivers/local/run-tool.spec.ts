import { describe, expect, test } from '@jest/globals';
import { runTool } from './run-tool.js';

const exiting = (code: number, accepted?: readonly number[]) => runTool('sh', ['-c', `echo said; exit ${code}`], 5_000, accepted);

describe('a program of the host', () => {
  test('answers what it printed', async () => {
    expect(await exiting(0)).toBe('said\n');
  });

  test('may end with any code its caller accepts, and with no other', async () => {
    expect(await exiting(1, [0, 1])).toBe('said\n');
    await expect(exiting(1)).rejects.toThrow('said');
    await expect(exiting(2, [0, 1])).rejects.toThrow('said');
  });

  test('fails when it is missing or takes too long, whatever is accepted', async () => {
    await expect(runTool('no-such-program', [], 5_000, [0, 1])).rejects.toThrow('ENOENT');
    await expect(runTool('sleep', ['60'], 50, [0, 1])).rejects.toThrow('no end within 50 ms');
  });
});
