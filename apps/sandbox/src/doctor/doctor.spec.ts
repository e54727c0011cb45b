import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { expectNothingLeft, makeLocalNode } from '../drivers/testing/local-node.js';
import { writeBusyboxTar } from '../drivers/testing/root-tar.js';
import type { Diagnosis } from './examine-node.js';

const MIB = 1024 * 1024;
const PROGRAM = resolve(import.meta.dirname, '../../dist/cli/main.js');
const node = makeLocalNode();
const directory = mkdtempSync(join(tmpdir(), 'gatehouse-doctor-spec-'));
const machine = {
  NODE_ENV: 'development',
  SANDBOX_DATA_DIR: node.options.dataDir,
  SANDBOX_RUN_DIR: node.options.runDir,
  SANDBOX_RUNTIME: node.options.runtimePath,
  SANDBOX_INIT: node.options.initPath,
};

/** The built command, as an operator runs it; `inside` is a program that runs it. */
async function gatehouse(args: string[], changes: NodeJS.ProcessEnv = {}, inside: string[] = []): Promise<{ code: number; said: string }> {
  const [program = '', ...rest] = [...inside, process.execPath, PROGRAM, ...args];
  const child = spawn(program, rest, { env: { PATH: process.env.PATH, ...machine, ...changes }, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number>((resolve, reject) => child.once('error', reject).once('close', code => resolve(code ?? -1)));
  const [out, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  expect(out + errors).not.toMatch(/\n\s+at /); // no stack
  return { code, said: out + errors };
}

async function diagnose(changes: NodeJS.ProcessEnv = {}, inside: string[] = []): Promise<Diagnosis & { code: number }> {
  const { code, said } = await gatehouse(['doctor', '--json'], changes, inside);
  return { ...(JSON.parse(said) as Diagnosis), code };
}

const stateOf = ({ facts }: Diagnosis, name: string) => facts.find(fact => fact.name === name)?.state;
const traces = () => [...[node.options.dataDir, node.options.runDir].flatMap(path => (existsSync(path) ? readdirSync(path) : [])), ...readdirSync(join(node.options.dataDir, '..'))].filter(name => name.includes('doctor'));

beforeAll(async () => {
  if (!existsSync(PROGRAM)) throw new Error('The sandbox service is not built: npm run build');
  writeBusyboxTar(join(directory, 'root.tar'));
}, 120_000);

afterAll(() => {
  expectNothingLeft(node);
  node.remove();
  rmSync(directory, { recursive: true });
});

describe('gatehouse sandbox doctor', () => {
  test('tells that sandboxes run here, in words, and leaves nothing behind', async () => {
    const { code, said } = await gatehouse(['doctor']);
    expect(said).toMatch(/ok {4}trial {9} +a sandbox started, ran a command and is gone again/);
    expect(said).toContain('Isolation: namespaces.');
    expect(said).toContain('Starts in development, which this configuration is for');
    expect(said).toContain('Does not start in production:\n  - Template "host" shows sandboxes the programs of this machine');
    expect(code).toBe(0);
    expect(traces()).toEqual([]);
    expect([existsSync(node.options.dataDir), existsSync(node.options.runDir)]).toEqual([false, false]); // they were not there before
  }, 30_000);

  test('works beside a service that holds the node, and touches none of its sandboxes', async () => {
    const driver = await node.open();
    await driver.reconcile();
    const box = await driver.create({ sandboxId: 'at-work', generation: 1, template: 'host', limits: { memoryBytes: 256 * MIB, cpuMillis: 1000, pids: 160, diskBytes: 64 * MIB }, env: {} });
    expect(await diagnose()).toMatchObject({ code: 0, driver: 'local', isolation: 'namespace', trialMs: expect.any(Number), verdicts: { development: { starts: true, problems: [] } } });
    expect((await box.exec({ command: 'echo alive' })).stdout.toString()).toBe('alive\n');
    expect(traces()).toEqual([]);
    await box.destroy();
    await driver.close();
  }, 30_000);

  test('with a template of its own the node is fit for production, as far as this machine is', async () => {
    expect(await gatehouse(['template', 'list'])).toMatchObject({ code: 0, said: expect.stringContaining('No templates yet') });
    expect(await gatehouse(['template', 'add', 'small-1', '--tar', join(directory, 'root.tar')])).toMatchObject({ code: 0, said: expect.stringContaining('Set SANDBOX_TEMPLATE=small-1') });
    expect(await gatehouse(['template', 'add', 'small-1', '--tar', join(directory, 'root.tar')])).toMatchObject({ code: 1, said: expect.stringContaining('already') });
    expect(await gatehouse(['template', 'add', 'small-1', '--tar', 'missing', '--unless-there'])).toMatchObject({ code: 0 });
    expect(await gatehouse(['template', 'list'])).toEqual({ code: 0, said: 'small-1\n' });
    const diagnosis = await diagnose({ NODE_ENV: 'production', SANDBOX_TEMPLATE: 'small-1' });
    const quota = stateOf(diagnosis, 'disk quota') === 'fine';
    expect(diagnosis).toMatchObject({ code: quota ? 0 : 1, kind: 'production', verdicts: { production: { starts: quota } } });
  }, 60_000);

  test.each<[missing: string, changes: NodeJS.ProcessEnv, fact: string, mend: string]>([
    ['a runtime by name', { SANDBOX_RUNTIME: 'no-such-runtime' }, 'runtime', 'No container runtime no-such-runtime: apt-get install runc'],
    ['pid 1', { SANDBOX_INIT: '/no/tini' }, 'pid 1', 'No pid 1 at /no/tini: apt-get install tini'],
    ['the template', { SANDBOX_TEMPLATE: 'no-such' }, '', 'There is no template "no-such"'],
    ['the Docker Engine', { SANDBOX_DRIVER: 'docker', SANDBOX_DOCKER_HOST: 'unix:///no/docker.sock', SANDBOX_RUNTIME: 'runc' }, 'docker', 'The Docker Engine does not answer at /no/docker.sock (ENOENT): apt-get install docker.io'],
  ])('without %s it says what mends that, and fails', async (_missing, changes, fact, mend) => {
    const diagnosis = await diagnose(changes);
    expect(diagnosis).toMatchObject({ code: 1, trialMs: null });
    for (const { starts, problems } of Object.values(diagnosis.verdicts)) {
      expect(starts).toBe(false);
      expect(problems).toEqual(expect.arrayContaining([expect.stringContaining(mend)]));
    }
    if (fact) expect(stateOf(diagnosis, fact)).toBe('missing');
    expect(traces()).toEqual([]);
  }, 30_000);

  test('not as root it says so', async () => {
    const diagnosis = await diagnose({}, ['unshare', '--user', '--map-user=1000']);
    expect(diagnosis).toMatchObject({ code: 1, trialMs: null });
    expect(stateOf(diagnosis, 'rights')).toBe('missing');
    expect(diagnosis.verdicts.development.problems.join()).toMatch(/as root/);
  }, 30_000);

  test('without loop devices a developer may go on and production may not', async () => {
    const dev = join(directory, 'dev');
    mkdirSync(dev);
    const hide = 'mount -t tmpfs -o mode=755 none "$0" && for name in null zero full random urandom tty; do : > "$0/$name"; mount --bind "/dev/$name" "$0/$name"; done && ln -s /proc/self/fd "$0/fd" && mount --rbind "$0" /dev && exec "$@"';
    const diagnosis = await diagnose({ SANDBOX_TEMPLATE: 'small-1' }, ['unshare', '--mount', 'sh', '-c', hide, dev]);
    expect(diagnosis).toMatchObject({ code: 0, verdicts: { development: { starts: true }, production: { starts: false, problems: [expect.stringContaining('modprobe loop')] } } });
    expect(stateOf(diagnosis, 'disk quota')).toBe('lesser');
    expect(diagnosis.features).not.toContain('disk-quota');
    const accepted = await gatehouse(['doctor'], { SANDBOX_TEMPLATE: 'small-1', NODE_ENV: 'production', SANDBOX_UNLIMITED_DISKS: 'true' }, ['unshare', '--mount', 'sh', '-c', hide, dev]);
    expect(accepted).toMatchObject({ code: 0, said: expect.stringContaining('Nothing holds the limit on disk.') });
  }, 60_000);

  test('a configuration that cannot be read is told, not traced', async () => {
    expect(await gatehouse(['doctor'], { SANDBOX_DRIVER: 'none' })).toMatchObject({ code: 1, said: expect.stringContaining('SANDBOX_DRIVER is not acceptable: must be one of local, docker') });
  });
});
