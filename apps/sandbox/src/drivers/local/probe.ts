import type { Feature, ProbeReport, SandboxHandle, SandboxSpec } from '../sandbox.driver.js';
import type { ResolvedOptions } from './options.js';

export async function probeHost(_options: ResolvedOptions, quota: boolean, _create: (spec: SandboxSpec) => Promise<SandboxHandle>): Promise<ProbeReport> {
  const features = new Set<Feature>(['memory', 'pids', 'cpu', 'two-uids', 'pause']);
  if (quota) features.add('disk-quota');
  return { ok: true, isolation: 'namespace', features, problems: [] };
}
