import { describe, expect, it } from '@jest/globals';
import type { Installation } from '../installation.js';
import { sandboxLimits } from './sandbox-limits.js';

const MIB = 1_048_576;
const installation = { defaults: { cpuMillis: 1_000, memoryMB: 512, diskMB: 1_024 }, maxima: { cpuCount: 4, memoryMB: 8_192, diskMB: 20_480 }, pids: 256 } as Installation;
const unsaid = { cpuCount: null, memoryMB: null, diskMB: null };

describe('the limits of a sandbox', () => {
  it('are the defaults where the agent says nothing', () => {
    expect(sandboxLimits(unsaid, installation)).toEqual({ cpuMillis: 1_000, memoryBytes: 512 * MIB, diskBytes: 1_024 * MIB, pids: 256 });
  });

  it('are at most what the installation offers now', () => {
    expect(sandboxLimits({ cpuCount: 64, memoryMB: 65_536, diskMB: 65_536 }, installation)).toEqual({ cpuMillis: 4_000, memoryBytes: 8_192 * MIB, diskBytes: 20_480 * MIB, pids: 256 });
  });

  it.each([[1, 256], [256, 256], [257, 512], [20_479, 20_480]])('turn a disk of %d MB into one of %d, so that few sizes exist', (diskMB, given) => {
    expect(sandboxLimits({ ...unsaid, diskMB }, installation).diskBytes).toBe(given * MIB);
  });
});
