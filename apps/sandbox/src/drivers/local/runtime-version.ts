import { runTool } from './run-tool.js';

const TIMEOUT_MS = 5_000;
/** The first runc with the fixes for CVE-2024-45310, CVE-2025-31133, -52565, -52881 and CVE-2026-41579. */
export const CURRENT_RUNC = '1.3.6';

export interface RuntimeVersion {
  name: string;
  number: string;
}

/** What a runtime says of itself; null when it cannot be asked, or says it otherwise. */
export async function runtimeVersion(path: string): Promise<RuntimeVersion | null> {
  const said = await runTool(path, ['--version'], TIMEOUT_MS).catch(() => ''); // a missing one is told by whoever needs it
  return parseRuntimeVersion(said);
}

/** @param said `runc version 1.1.5+ds1`, `crun version 1.21`, `runsc version release-20240729.0`, and more lines */
export function parseRuntimeVersion(said: string): RuntimeVersion | null {
  const [, name, number] = /^(\w+) version (?:release-)?(\d+(?:\.\d+)*)/m.exec(said) ?? [];
  return name && number ? { name, number } : null;
}

/** Only of runc is it known. */
export function lacksFixes({ name, number }: RuntimeVersion): boolean {
  if (name !== 'runc') return false;
  const [ours, wanted] = [number, CURRENT_RUNC].map(text => text.split('.').map(Number)) as [number[], number[]];
  const differing = wanted.findIndex((part, index) => (ours[index] ?? 0) !== part);
  return differing >= 0 && (ours[differing] ?? 0) < (wanted[differing] ?? 0);
}
