import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { listSlots, removeBoxDirectory } from './box-files.js';
import type { Cgroups } from './cgroups.js';
import type { Disks } from './disks.js';
import { findByEnvironment, killAndWait } from './host-process.js';
import type { Layout } from './layout.js';
import { runTool } from './run-tool.js';
import { STARTER_MARK, type OciRuntime } from './runtime.js';

const KILL_TIMEOUT_MS = 5_000;
const UMOUNT_TIMEOUT_MS = 10_000;
const ORPHAN_LOOKS = 3;
const ORPHAN_PAUSE_MS = 5;

export interface SweepContext {
  nodeId: string;
  layout: Layout;
  cgroups: Cgroups;
  disks: Disks;
  runtime: OciRuntime;
}

/**
 * Starts of a killed service run on without it and would bring their container up behind our back. Call only before this
 * process starts any of its own.
 */
export async function killOrphanedStarts({ nodeId }: SweepContext): Promise<void> {
  // A process has no environment for a moment while it executes its next program: one look may miss it.
  for (let emptyLooks = 0; emptyLooks < ORPHAN_LOOKS; emptyLooks++) {
    const starters = await findByEnvironment(STARTER_MARK, nodeId);
    if (starters.length > 0) emptyLooks = 0;
    await Promise.all(starters.map(starter => killAndWait(starter, KILL_TIMEOUT_MS)));
    await delay(ORPHAN_PAUSE_MS);
  }
}

/**
 * Every slot anything knows of: box directories, the runtime's state and the cgroup tree. A runtime killed in the middle of
 * a start says "does not exist" while an init process, a cgroup and a state directory are there.
 */
export async function knownSlots({ layout, cgroups }: SweepContext): Promise<Set<string>> {
  const states = await readdir(layout.runtimeRoot).catch((): string[] => []); // the runtime makes it
  return new Set([...(await listSlots(layout)), ...states, ...(await cgroups.slots())]);
}

/** Ends whatever runs in a slot and removes every trace of it, but not the disk of a sandbox. */
export async function sweepSlot({ layout, cgroups, disks, runtime }: SweepContext, slot: string): Promise<void> {
  await cgroups.sweep(slot);
  const state = join(layout.runtimeRoot, slot);
  if ((await readdir(layout.runtimeRoot).catch((): string[] => [])).includes(slot)) {
    await runtime.delete(slot).catch(() => undefined); // half-made containers are unknown to it; the directory goes below
    await unmountBelow(state);
    await rm(state, { recursive: true, force: true });
  }
  await disks.discard(slot);
  await removeBoxDirectory(layout.box(slot)); // last: while it is there, the slot is swept again
}

/** runc 1.1 leaves a bind mount in its state directory when it is killed at the wrong moment. */
async function unmountBelow(directory: string): Promise<void> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const points = table.split('\n').map(line => line.split(' ')[4] ?? '').filter(point => point === directory || point.startsWith(`${directory}/`));
  for (const point of points.reverse()) await runTool('umount', ['-l', point], UMOUNT_TIMEOUT_MS);
}
