import { mkdir, realpath } from 'node:fs/promises';
import { DriverError } from './driver-error.js';
import { Layout, NODE_ID } from './local/layout.js';
import { NodeLock } from './local/node-lock.js';

export interface NodeOptions {
  readonly nodeId: string;
  readonly runDir: string;
  readonly dataDir: string;
}

/** Directories of a {@link Layout}. */
type Part = { [Name in keyof Layout]: Layout[Name] extends string ? Name : never }[keyof Layout];

/**
 * Takes the node for this process, makes the directories that are named, and opens a driver on them. The lock is the driver's from
 * then on; what fails before gives the node back.
 * @throws {DriverError} `unavailable` when another process holds the node, `failed` when its directories cannot be used
 */
export async function takeNode<T>({ nodeId, runDir, dataDir }: NodeOptions, parts: readonly Part[], open: (layout: Layout, lock: NodeLock) => T | Promise<T>): Promise<T> {
  if (!NODE_ID.test(nodeId)) throw new DriverError('failed', 'The node id must be 1 to 64 letters, digits, "-", "_" or "."');
  const lock = await NodeLock.acquire(nodeId).catch((error: unknown) => {
    throw new DriverError('unavailable', `Another process drives node "${nodeId}"`, error);
  });
  try {
    await make([runDir, dataDir]);
    const layout = new Layout(await realpath(runDir), await realpath(dataDir));
    await make(parts.map(part => layout[part]));
    return await open(layout, lock);
  } catch (error) {
    await lock.release();
    throw new DriverError('failed', 'The directories of the sandbox driver cannot be used', error);
  }
}

/** Sandboxes' own ids pass through them, and list nothing. */
async function make(directories: readonly string[]): Promise<void> {
  for (const directory of directories) await mkdir(directory, { recursive: true, mode: 0o711 });
}
