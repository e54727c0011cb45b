import { chown, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

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

  /** Whose they are. */
  async owners(): Promise<string[]> {
    return (await readdir(this.directory)).filter(name => !name.endsWith('.tmp'));
  }

  /** The sandbox must not be running. */
  async remove(sandboxId: string): Promise<void> {
    for (const name of [sandboxId, `${sandboxId}.tmp`]) await rm(join(this.directory, name), { recursive: true, force: true });
  }
}
