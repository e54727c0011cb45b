import { createHash, randomUUID } from 'node:crypto';
import { copyFile, cp, link, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** What a sandbox sees as /opt/gatehouse: pid 1, a node and the agent. */
export interface AgentRuntimeParts {
  initPath: string;
  nodePath: string;
  agentDir: string;
}

/**
 * Lays the parts together in one directory per version, so that a running sandbox keeps the version it started with.
 * The name is a digest of the parts; a directory that exists is complete, because it appeared by a rename.
 */
export async function prepareAgentRuntime(versionsDir: string, parts: AgentRuntimeParts): Promise<string> {
  const modules = (await readdir(parts.agentDir)).filter(name => name.endsWith('.cjs')).sort();
  const target = join(versionsDir, await digest(parts, modules));
  if (await stat(target).then(() => true, () => false)) return target;

  const work = join(versionsDir, `.${randomUUID()}`);
  await mkdir(work, { recursive: true, mode: 0o755 });
  try {
    for (const name of modules) await copyFile(join(parts.agentDir, name), join(work, name));
    await linkOrCopy(parts.initPath, join(work, 'init'));
    await linkOrCopy(parts.nodePath, join(work, 'node'));
    await rename(work, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error; // another start of the service was faster
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}

async function digest({ initPath, nodePath, agentDir }: AgentRuntimeParts, modules: string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const path of [initPath, nodePath]) {
    const { size, mtimeMs } = await stat(path);
    hash.update(`${path}\0${size}\0${mtimeMs}\0`);
  }
  for (const name of modules) hash.update(`${name}\0`).update(await readFile(join(agentDir, name)));
  return hash.digest('hex').slice(0, 16);
}

/** Node has a hundred megabytes: share them with the host's own where both are on one file system. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => cp(from, to, { dereference: true }));
}
