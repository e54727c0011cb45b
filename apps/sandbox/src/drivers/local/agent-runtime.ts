import { createHash, randomUUID } from 'node:crypto';
import { cp, link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
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
  const agent = await bundle(parts.agentDir);
  const target = join(versionsDir, await digest(parts, agent));
  if (await stat(target).then(() => true, () => false)) return target;

  const work = join(versionsDir, `.${randomUUID()}`);
  await mkdir(work, { recursive: true, mode: 0o755 });
  try {
    await writeFile(join(work, 'agent.cjs'), agent);
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

/** The agent's modules as one: every file it loads costs the start of every sandbox a part of a millisecond. */
async function bundle(agentDir: string): Promise<string> {
  const names = (await readdir(agentDir)).filter(name => name.endsWith('.cjs')).sort();
  const modules = await Promise.all(names.map(async name => `${JSON.stringify(`./${name}`)}(module, exports, require) {\n${await readFile(join(agentDir, name), 'utf8')}\n},\n`));
  return `'use strict';
const modules = {
${modules.join('')}};
const loaded = new Map();
function load(name) {
  if (!Object.hasOwn(modules, name)) return require(name);
  if (!loaded.has(name)) {
    const module = { exports: {} };
    loaded.set(name, module);
    modules[name](module, module.exports, load);
  }
  return loaded.get(name).exports;
}
load('./agent.cjs');
`;
}

async function digest({ initPath, nodePath }: AgentRuntimeParts, agent: string): Promise<string> {
  const hash = createHash('sha256').update(agent);
  for (const path of [initPath, nodePath]) {
    const { size, mtimeMs } = await stat(path);
    hash.update(`${path}\0${size}\0${mtimeMs}\0`);
  }
  return hash.digest('hex').slice(0, 16);
}

/** Node has a hundred megabytes: share them with the host's own where both are on one file system. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => cp(from, to, { dereference: true }));
}
