import { chown, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { IdleDisk } from './sandbox.driver.js';

/** The user commands run as, inside. */
export const COMMAND_UID = 1000;

/** Homes of sandboxes as plain directories. They have no quota. */
export class Homes {
  constructor(private readonly directory: string) {}

  /** Made when the sandbox has none. @param uidBase the host id that root has inside */
  async acquire(sandboxId: string, uidBase: number): Promise<string> {
    const home = join(this.directory, sandboxId);
    if (await stat(home).then(() => true, () => false)) return home;
    const work = `${home}.tmp`;
    await rm(work, { recursive: true, force: true });
    for (const directory of [work, join(work, 'workspace')]) {
      await mkdir(directory, { mode: 0o700 });
      await chown(directory, uidBase + COMMAND_UID, uidBase + COMMAND_UID);
    }
    await rename(work, home);
    return home;
  }

  /** Those of sandboxes, with the time something was last made in them. */
  async *kept(): AsyncIterable<IdleDisk> {
    for (const name of await readdir(this.directory)) {
      const found = await stat(join(this.directory, name)).catch(() => null); // removed meanwhile
      if (found && !name.endsWith('.tmp')) yield { sandboxId: name, lastUsedAt: found.mtime };
    }
  }

  /** The sandbox must not be running. */
  async remove(sandboxId: string): Promise<void> {
    for (const name of [sandboxId, `${sandboxId}.tmp`]) await rm(join(this.directory, name), { recursive: true, force: true });
  }
}
