import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { SandboxLimits } from '../sandbox.driver.js';

/** Where everything of this driver is on the node. Nothing in it comes from a request but ids that were checked. */
export class Layout {
  readonly boxes: string;
  readonly runtimeRoot: string;
  /** Made by the driver itself. */
  readonly templates: string;
  readonly installedTemplates: string;
  readonly disks: string;
  readonly homes: string;
  readonly agentVersions: string;

  constructor(runDir: string, dataDir: string) {
    this.boxes = join(runDir, 'boxes');
    this.runtimeRoot = join(runDir, 'runtime');
    this.templates = join(runDir, 'templates');
    this.installedTemplates = join(dataDir, 'templates');
    this.disks = join(dataDir, 'disks');
    this.homes = join(dataDir, 'homes');
    this.agentVersions = join(dataDir, 'agent');
  }

  box(slot: string): BoxPaths {
    const root = join(this.boxes, slot);
    return {
      root,
      meta: join(root, 'meta.json'),
      bundle: join(root, 'bundle'),
      config: join(root, 'bundle/config.json'),
      pid: join(root, 'pid'),
      runtimeLog: join(root, 'runtime.log'),
      agent: join(root, 'agent'),
      agentSocket: join(root, 'agent/agent.sock'),
      egress: join(root, 'egress'),
      disk: join(root, 'disk'),
    };
  }
}

export interface BoxPaths {
  root: string;
  meta: string;
  bundle: string;
  config: string;
  /** Written by the runtime. */
  pid: string;
  runtimeLog: string;
  /** Belongs to the sandbox's root; nothing below it may be followed. */
  agent: string;
  agentSocket: string;
  egress: string;
  /** Where the disk image is mounted, in the mount namespace of the start only. */
  disk: string;
}

/**
 * What a later driver needs to find this box again. Written before the runtime is called, and again with the pid once the box is
 * all it is to be: one without a pid, or without an owner, is not adopted. No secret is in it.
 */
export interface BoxMeta {
  /** null while it is nobody's. Told before the box gets the disk of the sandbox. */
  sandboxId: string | null;
  slot: string;
  generation: number;
  nodeId: string;
  uidBase: number;
  template: string;
  limits: SandboxLimits;
  bootId: string;
  pid?: number;
  /** Field 22 of /proc/<pid>/stat: with the boot id, what makes a pid mean one process. */
  startTicks?: string;
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

export const SLOT = /^[a-z2-7]{12}$/;
export const SANDBOX_ID = /^[\w-]{1,64}$/;
export const NODE_ID = /^[\w.-]{1,64}$/;

/** 60 random bits: a new name for every start of every sandbox. */
export function newSlot(): string {
  return Array.from(randomBytes(12), byte => BASE32[byte % 32]).join('');
}
