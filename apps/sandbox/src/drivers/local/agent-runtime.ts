import { createHash, randomUUID } from 'node:crypto';
import { cp, link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from './run-tool.js';

const LDD_TIMEOUT_MS = 10_000;

/**
 * pid 1 and what it starts, as a sandbox sees it. tini reaps orphans; Node as pid 1 would leave every one a zombie. Node is started
 * by a loader that came with it and finds its libraries beside it, so that it does not matter which ones the root has, if any.
 */
export const AGENT_COMMAND = ['/opt/gatehouse/init', '--', '/opt/gatehouse/lib/ld.so', '--library-path', '/opt/gatehouse/lib', '/opt/gatehouse/node', '--v8-pool-size=1', '/opt/gatehouse/agent.cjs'];

/** What a sandbox sees as /opt/gatehouse: pid 1, a node with its libraries, and the agent. */
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
  const libraries = await librariesOf(parts.nodePath);
  const target = join(versionsDir, await digest([parts.initPath, parts.nodePath, ...libraries.values()], agent));
  if (await stat(target).then(() => true, () => false)) return target;

  const work = join(versionsDir, `.${randomUUID()}`);
  await mkdir(work, { recursive: true, mode: 0o755 });
  try {
    await writeFile(join(work, 'agent.cjs'), agent);
    await linkOrCopy(parts.initPath, join(work, 'init'));
    await linkOrCopy(parts.nodePath, join(work, 'node'));
    await mkdir(join(work, 'lib'), { mode: 0o755 });
    for (const [name, path] of libraries) await cp(path, join(work, 'lib', name), { dereference: true }); // the machine's own may be replaced in place
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

async function digest(files: string[], agent: string): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(AGENT_COMMAND)).update(agent);
  for (const path of files) {
    const { size, mtimeMs } = await stat(path);
    hash.update(`${path}\0${size}\0${mtimeMs}\0`);
  }
  return hash.digest('hex').slice(0, 16);
}

/**
 * The libraries of a program by the names it asks for them, its loader as `ld.so`.
 * @throws when it has no loader
 */
async function librariesOf(program: string): Promise<Map<string, string>> {
  const libraries = new Map<string, string>();
  for (const line of (await runTool('ldd', [program], LDD_TIMEOUT_MS)).split('\n')) {
    // `libm.so.6 => /lib/… (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`; what the kernel brings itself has no path
    const [, name, path] = /^\s*(?:(\S+) => )?(\/\S+) \(/.exec(line) ?? [];
    if (path) libraries.set(name && !name.startsWith('/') ? name : 'ld.so', path);
  }
  if (!libraries.has('ld.so')) throw new Error(`${program} has no loader: a dynamically linked one is needed`);
  return libraries;
}

/** Node has a hundred megabytes: share them with the host's own where both are on one file system. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => cp(from, to, { dereference: true }));
}
