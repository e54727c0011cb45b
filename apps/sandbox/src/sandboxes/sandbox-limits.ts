import type { SandboxLimits } from '../drivers/sandbox.driver.js';
import type { Sizes } from '../installation.js';
import type { StartPlan } from './node-sandboxes.store.js';

const MIB = 1_048_576;
/** A node keeps an empty file system for every size of disk it was ever asked for: these are all there can be. */
const DISK_STEP_MB = 256;

/**
 * What a sandbox gets. An installation that has lowered its maxima since the agent was put gives what it has. A disk is
 * rounded up to whole steps of 256 MiB.
 */
export const sandboxLimits = ({ cpuCount, memoryMB, diskMB }: StartPlan['size'], { defaults, maxima, pids }: Sizes): SandboxLimits => ({
  cpuMillis: cpuCount === null ? defaults.cpuMillis : 1_000 * Math.min(cpuCount, maxima.cpuCount),
  memoryBytes: MIB * (memoryMB === null ? defaults.memoryMB : Math.min(memoryMB, maxima.memoryMB)),
  diskBytes: MIB * wholeSteps(diskMB === null ? defaults.diskMB : Math.min(diskMB, maxima.diskMB)),
  pids,
});

/** What those get whose agents do not ask. */
export const defaultLimits = (sizes: Sizes): SandboxLimits => sandboxLimits({ cpuCount: null, memoryMB: null, diskMB: null }, sizes);

const wholeSteps = (diskMB: number): number => DISK_STEP_MB * Math.ceil(diskMB / DISK_STEP_MB);
