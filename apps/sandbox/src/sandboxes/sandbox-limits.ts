import type { SandboxLimits } from '../drivers/sandbox.driver.js';
import type { Installation } from '../installation.js';
import type { StartPlan } from './node-sandboxes.store.js';

const MIB = 1_048_576;

/** What a sandbox gets. An installation that has lowered its maxima since the agent was put gives what it has. */
export const sandboxLimits = ({ cpuCount, memoryMB, diskMB }: StartPlan['size'], { defaults, maxima, pids }: Installation): SandboxLimits => ({
  cpuMillis: cpuCount === null ? defaults.cpuMillis : 1_000 * Math.min(cpuCount, maxima.cpuCount),
  memoryBytes: MIB * (memoryMB === null ? defaults.memoryMB : Math.min(memoryMB, maxima.memoryMB)),
  diskBytes: MIB * (diskMB === null ? defaults.diskMB : Math.min(diskMB, maxima.diskMB)),
  pids,
});
