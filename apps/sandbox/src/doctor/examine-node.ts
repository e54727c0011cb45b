import { randomBytes, randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { MachineConfig } from '../config.js';
import { DriverError } from '../drivers/driver-error.js';
import type { DriverLogger } from '../drivers/driver-logger.js';
import type { ProbeReport } from '../drivers/sandbox.driver.js';
import { openDriver } from '../open-driver.js';
import { machineFacts, type Fact } from './machine-facts.js';

const KINDS = ['development', 'production'] as const;
export type Kind = (typeof KINDS)[number];

export interface Verdict {
  starts: boolean;
  problems: string[];
  warnings: string[];
}

export interface Diagnosis {
  driver: MachineConfig['SANDBOX_DRIVER'];
  template: string;
  /** What this configuration is for. */
  kind: Kind;
  facts: Fact[];
  /** What the driver found out, with a trial sandbox where nothing was in its way. null where it found out nothing. */
  isolation: ProbeReport['isolation'] | null;
  features: string[];
  /** From opening the driver to the end of the trial. */
  trialMs: number | null;
  verdicts: Record<Kind, Verdict>;
  limits: Record<'memoryMB' | 'memoryMBMax' | 'cpuMillis' | 'cpusMax' | 'diskMB' | 'diskMBMax' | 'pids' | 'sandboxesMax', number>;
}

/** The last ranges of host ids: a node that counts up to them has sixty thousand sandboxes. */
const LAST_UID_BASE = 4_294_836_224;
const RANGES = 64;
const IDS = 65_536;
const CGROUPS = '/sys/fs/cgroup';
const QUIET: DriverLogger = { info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Finds out whether sandboxes can run here, by running one: as a node of its own, beside the one of this configuration, whose service
 * may be at work. Leaves nothing behind.
 * @param stopped when it says true, what is not tried yet is not tried
 */
export async function examineNode(config: MachineConfig, stopped: () => boolean = () => false): Promise<Diagnosis> {
  const facts = await machineFacts(config);
  const reports: Partial<Record<Kind, Trial>> = {};
  for (const kind of KINDS) if (!stopped()) reports[kind] = await tryAs(kind, config);
  const verdict = (kind: Kind): Verdict => {
    const { ok, problems, warnings } = reports[kind]?.report ?? { ok: false, problems: ['Not tried'], warnings: [] };
    return { starts: ok, problems, warnings };
  };
  const best = reports.development?.report.ok ? reports.development : (reports.production ?? reports.development);
  const known = (best?.report.features.size ?? 0) > 0;
  return {
    driver: config.SANDBOX_DRIVER,
    template: config.SANDBOX_TEMPLATE,
    kind: config.NODE_ENV === 'production' ? 'production' : 'development',
    facts,
    isolation: best && known ? best.report.isolation : null,
    features: [...(best?.report.features ?? [])],
    trialMs: best?.report.ok ? Math.round(best.tookMs) : null,
    verdicts: { development: verdict('development'), production: verdict('production') },
    limits: {
      memoryMB: config.SANDBOX_MEMORY_MB,
      memoryMBMax: config.SANDBOX_MEMORY_MB_MAX,
      cpuMillis: config.SANDBOX_CPU_MILLIS,
      cpusMax: config.SANDBOX_CPUS_MAX,
      diskMB: config.SANDBOX_DISK_MB,
      diskMBMax: config.SANDBOX_DISK_MB_MAX,
      pids: config.SANDBOX_PIDS,
      sandboxesMax: config.SANDBOXES_MAX,
    },
  };
}

interface Trial {
  report: ProbeReport;
  tookMs: number;
}

async function tryAs(kind: Kind, config: MachineConfig): Promise<Trial> {
  const begun = performance.now();
  const failed = (problem: string): Trial => ({ report: { ok: false, isolation: 'namespace', features: new Set(), problems: [problem], warnings: [] }, tookMs: 0 });
  const made: string[] = [];
  const hadTree = await treesOfNodes();
  try {
    const throwAway = async (directory: string): Promise<string> => {
      const path = await mkdtemp(join(nearest(directory), 'gatehouse-doctor-'));
      made.push(path);
      await chmod(path, 0o711); // the sandbox's own ids have to pass
      return path;
    };
    const driver = await openDriver(
      {
        ...config,
        NODE_ENV: kind,
        NODE_ID: `doctor-${randomBytes(6).toString('hex')}`,
        SANDBOX_RUN_DIR: await throwAway(config.SANDBOX_RUN_DIR),
        SANDBOX_DATA_DIR: await throwAway(config.SANDBOX_DATA_DIR),
        SANDBOX_UID_BASE: LAST_UID_BASE - randomInt(RANGES) * IDS,
      },
      QUIET,
      join(config.SANDBOX_DATA_DIR, 'templates'),
    );
    try {
      return { report: await driver.probe(), tookMs: performance.now() - begun };
    } finally {
      await driver.close();
    }
  } catch (error) {
    return failed(inWords(error));
  } finally {
    for (const path of made) await rm(path, { recursive: true, force: true });
    for (const tree of await treesOfNodes()) if (!hadTree.includes(tree)) await rmdir(tree).catch(() => undefined); // a node has come to life meanwhile
  }
}

function inWords(error: unknown): string {
  const { code, path } = (error instanceof DriverError ? error.cause : error) as NodeJS.ErrnoException;
  const denied = code === 'EACCES' || code === 'EPERM';
  if (denied) return `No sandbox can be tried${path ? `, because ${dirname(path)} may not be written` : ''}: run this, and the sandbox service, as root`;
  return `No sandbox can be tried: ${(error as Error).message}`;
}

/** The directory itself, or the parent it would be made in. */
function nearest(directory: string): string {
  return existsSync(directory) ? directory : nearest(dirname(directory));
}

/** In each hierarchy, the cgroup that holds those of all nodes: gone with the last if it came with the first. */
async function treesOfNodes(): Promise<string[]> {
  const hierarchies = ['', ...(await readdir(CGROUPS).catch((): string[] => []))];
  return hierarchies.map(name => join(CGROUPS, name, 'gatehouse')).filter(tree => existsSync(tree));
}
