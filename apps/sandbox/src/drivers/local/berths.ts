import type { DriverLogger } from '../driver-logger.js';
import { COMMAND_UID } from '../homes.js';
import { makeBoxDirectories } from './box-files.js';
import type { Disk, Disks, NewDisk } from './disks.js';
import { newSlot, type BoxPaths, type Layout } from './layout.js';
import type { OciRuntime, PendingStart } from './runtime.js';

/** All of a start that does not depend on whose it is: a slot with its directories, and a disk, mounted where the container will be. */
export interface Berth {
  slot: string;
  paths: BoxPaths;
  disk: Disk;
  start: PendingStart;
}

/** One whose disk is nobody's yet. */
export interface NewBerth extends Berth {
  disk: NewDisk;
}

export interface BerthParts {
  layout: Layout;
  disks: Disks;
  runtime: OciRuntime;
  log: DriverLogger;
  /** From then on the slot is this process's. */
  claim(slot: string): void;
  /** Removes every trace of a slot, a disk that is nobody's among it. */
  sweep(slot: string): Promise<void>;
}

/**
 * Berths for starts. One for a new sandbox lies ready ahead, of the size that was asked for last: a third of a start is done
 * before it is asked for.
 */
export class Berths {
  private ahead: Promise<NewBerth | null> = Promise.resolve(null);
  private closed = false;

  constructor(private readonly parts: BerthParts) {}

  /** @throws when the disk cannot be had, or not before `signal` aborts */
  async take(sandboxId: string, sizeBytes: number, signal: AbortSignal): Promise<Berth> {
    const { disks } = this.parts;
    if (!disks.quota || disks.has(sandboxId)) return this.at(newSlot(), () => disks.acquire(sandboxId, sizeBytes));
    const ready = this.ahead;
    this.ahead = Promise.resolve(null);
    const berth = (await this.fitting(await ready, sizeBytes)) ?? (await this.make(sizeBytes));
    try {
      await berth.start.mountedBefore(signal);
      await disks.adopt(berth.disk, sandboxId);
      return berth;
    } catch (error) {
      await this.dismiss(berth);
      throw error;
    }
  }

  /** To be called when there is time. */
  stock(sizeBytes: number): void {
    if (this.closed || !this.parts.disks.quota) return;
    this.ahead = this.ahead.then(async berth => (await this.fitting(berth, sizeBytes)) ?? (this.closed ? null : this.make(sizeBytes))).catch((err: unknown) => {
      this.parts.log.warn({ err }, 'no start could be prepared ahead; the next one will take longer');
      return null;
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    const berth = await this.ahead;
    this.ahead = Promise.resolve(null);
    if (berth) await this.dismiss(berth);
  }

  private async fitting(berth: NewBerth | null, sizeBytes: number): Promise<NewBerth | null> {
    if (berth === null || (berth.disk.sizeBytes === sizeBytes && !berth.start.hasEnded)) return berth;
    await this.dismiss(berth);
    return null;
  }

  /** One that is not for a sandbox, or not yet. */
  make(sizeBytes: number): Promise<NewBerth> {
    const slot = newSlot();
    return this.at(slot, () => this.parts.disks.make(slot, sizeBytes));
  }

  private async at<D extends Disk>(slot: string, getDisk: () => Promise<D>): Promise<Berth & { disk: D }> {
    const { layout, runtime, claim, sweep } = this.parts;
    claim(slot);
    try {
      const paths = layout.box(slot);
      const disk = await getDisk();
      await makeBoxDirectories(paths, disk.uidBase);
      return { slot, paths, disk, start: runtime.prepare({ slot, paths, image: disk.image, homeOwner: disk.uidBase + COMMAND_UID }) };
    } catch (error) {
      await sweep(slot);
      throw error;
    }
  }

  private async dismiss({ slot, start }: NewBerth): Promise<void> {
    try {
      await start.cancel();
      await this.parts.sweep(slot);
    } catch (err) {
      this.parts.log.warn({ err, slot }, 'a start that was prepared in vain could not be cleared away; reconciliation will try again');
    }
  }
}
