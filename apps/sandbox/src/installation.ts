import { modelNames } from '@gatehouse/contracts';
import { modelsOf, type SandboxConfig } from './config.js';

/** How large sandboxes are. */
export interface Sizes {
  /** For agents that do not ask. */
  readonly defaults: SandboxSize;
  /** The most an agent may ask for. */
  readonly maxima: { readonly cpuCount: number; readonly memoryMB: number; readonly diskMB: number };
  /** Processes and threads of one sandbox. */
  readonly pids: number;
}

/** What this installation gives and allows. */
export interface Installation extends Sizes {
  /** Every name an agent may give as its model. */
  readonly models: ReadonlySet<string>;
  /** The root file system sandboxes start from, as the driver names it. */
  readonly template: string;
}

export interface SandboxSize {
  /** Thousandths of a core. */
  readonly cpuMillis: number;
  readonly memoryMB: number;
  readonly diskMB: number;
}

type SizeVariable = 'SANDBOX_CPU_MILLIS' | 'SANDBOX_MEMORY_MB' | 'SANDBOX_DISK_MB' | 'SANDBOX_CPUS_MAX' | 'SANDBOX_MEMORY_MB_MAX' | 'SANDBOX_DISK_MB_MAX' | 'SANDBOX_PIDS';

export const sizesOf = (config: Pick<SandboxConfig, SizeVariable>): Sizes => ({
  defaults: { cpuMillis: config.SANDBOX_CPU_MILLIS, memoryMB: config.SANDBOX_MEMORY_MB, diskMB: config.SANDBOX_DISK_MB },
  maxima: { cpuCount: config.SANDBOX_CPUS_MAX, memoryMB: config.SANDBOX_MEMORY_MB_MAX, diskMB: config.SANDBOX_DISK_MB_MAX },
  pids: config.SANDBOX_PIDS,
});

export const installationOf = (config: SandboxConfig): Installation => ({
  ...sizesOf(config),
  models: modelNames(modelsOf(config)),
  template: config.SANDBOX_TEMPLATE,
});
