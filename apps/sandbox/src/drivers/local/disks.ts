import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DriverError } from '../driver-error.js';
import { Homes } from '../homes.js';
import { BlankImages } from './blank-image.js';
import { bootId } from './host-process.js';
import type { Layout } from './layout.js';
import { runTool } from './run-tool.js';

const IDS_PER_SANDBOX = 65_536;
const HOST_IDS_END = 2 ** 32 - IDS_PER_SANDBOX;
const RELEASE_TIMEOUT_MS = 5_000;
const CHECK_TIMEOUT_MS = 60_000;
/** Exit codes of e2fsck(8) that leave a sound file system: nothing was wrong, or all of it was corrected. */
const SOUND = [0, 1];
/** In the names of disks that are nobody's yet; sandbox ids have no dot. */
const NEW_DISK = '.new.img';

/** A home ready to be given to a container. */
export interface Disk {
  /** First host id of the sandbox; its files carry ids from here on. */
  uidBase: number;
  /** An ext4 image to be mounted, or null when `home` is a plain directory. */
  image: string | null;
  home: string | null;
}

/** A new disk that is nobody's yet. */
export interface NewDisk extends Disk {
  name: string;
  image: string;
  sizeBytes: number;
}

interface DiskMeta {
  uidBase: number;
  sizeBytes: number;
  /** Of the last start: another one means the machine may have crashed with the image mounted. */
  bootId: string;
}

/**
 * The homes of the sandboxes. Where loop devices exist each is an ext4 image: a real quota on bytes and inodes, freed by
 * deleting one file. Elsewhere it is a directory without a quota.
 */
export class Disks {
  private readonly metas = new Map<string, DiskMeta>();
  /** First ids in use by what is nobody's yet, or nobody's any more, by the name of its disk. */
  private readonly reserved = new Map<string, number>();
  private readonly blanks: BlankImages;
  private readonly homes: Homes;
  readonly quota = existsSync('/dev/loop-control');

  constructor(
    private readonly layout: Layout,
    private readonly uidBase: number,
  ) {
    this.blanks = new BlankImages(layout.disks);
    this.homes = new Homes(layout.homes);
  }

  /** Learns which disks and id ranges exist. Once, before anything else. */
  async open(): Promise<void> {
    for (const directory of [this.layout.disks, this.layout.homes]) await mkdir(directory, { recursive: true, mode: 0o711 });
    for (const name of await readdir(this.layout.disks)) {
      if (name.includes(NEW_DISK) || name.endsWith('.tmp')) await rm(join(this.layout.disks, name)); // whose it was to be nobody knows any more, or it is half written
      else if (name.endsWith('.json')) this.metas.set(basename(name, '.json'), JSON.parse(await readFile(join(this.layout.disks, name), 'utf8')) as DiskMeta);
    }
  }

  /** Whose they are. */
  get owners(): string[] {
    return [...this.metas.keys()];
  }

  has(sandboxId: string): boolean {
    return this.metas.has(sandboxId);
  }

  /** An empty disk, for `adopt` or `discard`. `name` names it until then. */
  async make(name: string, sizeBytes: number): Promise<NewDisk> {
    const uidBase = this.freeUidBase();
    this.reserved.set(name, uidBase);
    const image = this.newImage(name);
    try {
      await this.blanks.copyTo(image, sizeBytes);
      return { name, uidBase, image, home: null, sizeBytes };
    } catch (error) {
      this.reserved.delete(name);
      throw error;
    }
  }

  /** The new disk becomes that of a sandbox that has none. A mount does not mind its new name. */
  async adopt({ name, uidBase, image, sizeBytes }: NewDisk, sandboxId: string): Promise<void> {
    const meta = { uidBase, sizeBytes, bootId };
    this.metas.set(sandboxId, meta);
    await this.saveMeta(sandboxId, meta);
    await rename(image, this.image(sandboxId));
    this.reserved.delete(name);
  }

  /** Frees the new disk of that name, unless it was adopted. Nothing happens when there is none. */
  async discard(name: string): Promise<void> {
    if (!this.reserved.has(name)) return;
    await this.released(this.newImage(name));
    await rm(this.newImage(name), { force: true });
    this.reserved.delete(name);
  }

  /** Keeps ids from others while processes may live that have them; until `discard`. */
  withhold(name: string, uidBase: number): void {
    this.reserved.set(name, uidBase);
  }

  /** The disk of a sandbox that is about to start, made when it has none. */
  async acquire(sandboxId: string, sizeBytes: number): Promise<Disk> {
    const existing = this.metas.get(sandboxId);
    const meta = existing ?? { uidBase: this.freeUidBase(), sizeBytes, bootId };
    this.metas.set(sandboxId, meta); // at once: the range is taken
    const image = this.image(sandboxId);
    if (this.quota) await this.released(image);
    if (existing && existing.bootId !== bootId && existsSync(image)) await runTool('e2fsck', ['-f', '-p', image], CHECK_TIMEOUT_MS, SOUND);
    meta.bootId = bootId;
    await this.saveMeta(sandboxId, meta);
    if (!this.quota) return { uidBase: meta.uidBase, image: null, home: await this.homes.acquire(sandboxId, meta.uidBase) };
    if (!existsSync(image)) await this.blanks.copyTo(image, meta.sizeBytes);
    return { uidBase: meta.uidBase, image, home: null };
  }

  /** The sandbox must not be running. */
  async remove(sandboxId: string): Promise<void> {
    if (this.quota) await this.released(this.image(sandboxId));
    await rm(this.image(sandboxId), { force: true });
    await this.homes.remove(sandboxId);
    await rm(this.metaPath(sandboxId), { force: true }); // last: until then the range is not free
    this.metas.delete(sandboxId);
  }

  /**
   * Waits until no loop device holds the image. The kernel lets go a moment after the last process of the sandbox is
   * gone; mounting or deleting before that would corrupt the file system or leak its space.
   */
  private async released(image: string): Promise<void> {
    const deadline = performance.now() + RELEASE_TIMEOUT_MS;
    while (await isBackingFile(image)) {
      if (performance.now() > deadline) throw new DriverError('unavailable', 'The disk of the sandbox is still in use');
      await delay(2);
    }
  }

  private freeUidBase(): number {
    const taken = new Set([...this.reserved.values(), ...[...this.metas.values()].map(meta => meta.uidBase)]);
    for (let base = this.uidBase; base <= HOST_IDS_END; base += IDS_PER_SANDBOX) if (!taken.has(base)) return base;
    throw new DriverError('no-capacity', 'No ids are left on this node');
  }

  private async saveMeta(sandboxId: string, meta: DiskMeta): Promise<void> {
    const path = this.metaPath(sandboxId);
    await writeFile(`${path}.tmp`, JSON.stringify(meta));
    await rename(`${path}.tmp`, path);
  }

  private newImage(name: string): string {
    return join(this.layout.disks, `${name}${NEW_DISK}`);
  }

  private image(sandboxId: string): string {
    return join(this.layout.disks, `${sandboxId}.img`);
  }

  private metaPath(sandboxId: string): string {
    return join(this.layout.disks, `${sandboxId}.json`);
  }
}

async function isBackingFile(image: string): Promise<boolean> {
  const devices = (await readdir('/sys/block')).filter(name => name.startsWith('loop'));
  const files = await Promise.all(devices.map(name => readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => ''))); // not set up
  return files.some(file => file.trimEnd() === image);
}
