import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { CloneRepository, GatehouseError } from '@gatehouse/contracts';
import { createLogger } from '@gatehouse/platform';
import { expectError, eventually, GIT_SERVER, GIT_SERVER_DIR, type GitOrigins, MAKE_REPOSITORIES, startGitServer } from '@gatehouse/testing';
import type { LocalDriver } from '../drivers/local/local.driver.js';
import { expectNothingLeft, makeLocalNode } from '../drivers/testing/local-node.js';
import type { SandboxHandle, SpawnOptions } from '../drivers/sandbox.driver.js';
import { cloneRepository } from './clone-repository.js';

const MIB = 1024 * 1024;
const TIMED_OUT_MS = 500;

describe('cloneRepository, with the git of a real sandbox', () => {
  const node = makeLocalNode();
  const token = `planted+${randomBytes(9).toString('hex')}/=&%`;
  const logged: string[] = [];
  const log = createLogger({ service: 'sandbox', instance: 'spec', level: 'info', destination: { write: line => void logged.push(line) } });
  let driver: LocalDriver;
  let box: SandboxHandle;
  let origins: GitOrigins;
  let made = 0;
  let target: string;

  beforeAll(async () => {
    driver = await node.open();
    await driver.reconcile();
    box = await start();
    await sh(MAKE_REPOSITORIES);
    await box.files.write(`${GIT_SERVER_DIR}/server.cjs`, Buffer.from(GIT_SERVER));
    const authorization = `Basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`;
    origins = JSON.parse(await sh(startGitServer(createHash('sha256').update(authorization).digest('hex')))) as GitOrigins;
  }, 60_000);
  afterAll(async () => {
    await box.destroy();
    await driver.close();
    expectNothingLeft(node);
    node.remove();
  });
  beforeEach(() => {
    target = `/home/user/clone-${++made}`;
  });

  const start = () => driver.create({ sandboxId: `git-${++made}`, generation: 1, template: 'host', limits: { memoryBytes: 512 * MIB, cpuMillis: 2_000, pids: 256, diskBytes: 128 * MIB }, env: {} });
  const sh = async (command: string): Promise<string> => {
    const { stdout, stderr, exitCode } = await box.exec({ command });
    if (exitCode !== 0) throw new Error(`exit ${exitCode}: ${stderr.toString()}`);
    return stdout.toString().trimEnd();
  };
  const clone = (path: string, input: Partial<CloneRepository> = {}, options: { timeoutMs?: number; handle?: SandboxHandle } = {}) => {
    const { handle = box, ...rest } = options;
    return cloneRepository(handle, { url: `${origins.origin}${path}`, path: target, ...input }, { log, ...rest });
  };
  const told = (error: GatehouseError) => error.toEnvelope().error;
  const failed = (reason = '') => ({ code: 'sandbox_error', message: `The repository could not be cloned${reason}`, status: 500 });

  it('checks out the branch the repository names', async () => {
    expect(await clone('/open/repo.git')).toEqual({ path: target, branch: 'main' });
    expect(await sh(`cd ${target} && cat number.txt && git rev-list --count HEAD && git config remote.origin.url && git status --porcelain`)).toBe(`3\n3\n${origins.origin}/open/repo.git`);
  });

  it.each([
    ['a branch', { branch: 'feature' }, 'feature', '2'],
    ['a tag', { branch: 'v1' }, 'v1', '1'],
  ])('checks out %s', async (_what, input, branch, number) => {
    expect(await clone('/open/repo.git', input)).toEqual({ path: target, branch });
    expect(await sh(`cat ${target}/number.txt`)).toBe(number);
  });

  it('takes no more history than asked for', async () => {
    expect(await clone('/open/repo.git', { depth: 1 })).toMatchObject({ branch: 'main' });
    expect(await sh(`git -C ${target} rev-list --count HEAD`)).toBe('1');
  });

  it('tells of repositories without a branch, or without anything', async () => {
    expect(await clone('/open/detached.git')).toEqual({ path: target, branch: 'HEAD' });
    target += '-empty';
    expect(await clone('/open/empty.git')).toEqual({ path: target, branch: 'main' });
  });

  it('clones over plain files too, but not to a depth', async () => {
    expect(await clone('/dumb/repo.git')).toEqual({ path: target, branch: 'main' });
    target += '-shallow';
    expect(told(await expectError(clone('/dumb/repo.git', { depth: 1 }), 'sandbox_error'))).toEqual(failed(': the server does not support a depth'));
  });

  it('goes to ~/repo where nothing else is said, and reads paths from home on', async () => {
    expect(await cloneRepository(box, { url: `${origins.origin}/open/repo.git` }, { log })).toEqual({ path: '/home/user/repo', branch: 'main' });
    expect(await clone('/open/repo.git', { path: `a b/../c d/ü'"$(id)` })).toEqual({ path: `/home/user/c d/ü'"$(id)`, branch: 'main' });
    expect(await sh('cat repo/number.txt "c d"/*/number.txt')).toBe('3\n3');
  });

  it('shows the token to a server that asks for it', async () => {
    expect(await clone('/private/repo.git', { token })).toEqual({ path: target, branch: 'main' });
    expect(await sh(`cat ${target}/number.txt`)).toBe('3');
    expect(await sh(`grep -rlF 'planted+' ${target} /home/user || echo nowhere`)).toBe('nowhere');
  });

  it.each([
    ['no token', () => undefined],
    ['another token', () => 'planted+wrong'],
  ])('fails with %s where one is needed', async (_what, other) => {
    const input = other();
    const error = await expectError(clone('/private/repo.git', input === undefined ? {} : { token: input }), 'sandbox_error');
    expect(told(error)).toEqual(failed(': the server refused access'));
    expect(String((error.cause as Error).message)).toMatch(/^exit 128: .*fatal: /);
    expect(String((error.cause as Error).stack)).not.toContain('planted+');
    await expectNoTarget();
  });

  it.each([
    ['a server that is not there', 'http://127.0.0.1:9/repo.git', {}, ': the server could not be reached'],
    ['a repository that is not there', '/open/none.git', {}, ': the server does not have it'],
    ['a branch that is not there', '/open/repo.git', { branch: 'none' }, ': it has no such branch'],
    ['a server that breaks off', '/broken/repo.git', {}, ''],
  ])('fails with %s', async (_what, at, input, reason) => {
    const url = at.startsWith('/') ? `${origins.origin}${at}` : at;
    expect(told(await expectError(clone('', { url, ...input }), 'sandbox_error'))).toEqual(failed(reason));
    await expectNoTarget();
  });

  it('keeps what a server repeats of the token from message and cause', async () => {
    const error = await expectError(clone('/echo/repo.git', { token }), 'sandbox_error');
    expect(told(error)).toEqual(failed(': the server refused access'));
    const cause = String((error.cause as Error).stack);
    for (const form of ['planted+', Buffer.from('x-access-token:planted+').toString('base64').slice(0, -4)]) expect(cause).not.toContain(form);
  });

  it('follows a redirect within the host with the token, and to another host without it', async () => {
    expect(await clone('/moved/repo.git', { token })).toEqual({ path: target, branch: 'main' });
    target += '-away';
    for (const path of ['/away/repo.git', '/astray/repo.git']) await expectError(clone(path, { token }), 'sandbox_error');
    const requests = (await sh(`cat ${GIT_SERVER_DIR}/requests.log`)).split('\n').filter(line => line.startsWith('other'));
    expect(requests.length).toBeGreaterThanOrEqual(2);
    expect(requests.filter(line => !line.endsWith(' anonymous'))).toEqual([]);
  });

  it('does not look at what the sandbox has configured, and runs nothing of it', async () => {
    const trap = '#!/bin/sh\ntouch /home/user/trapped';
    await sh(`mkdir -p hooks template/hooks .config/git && for hook in hooks/post-checkout template/hooks/post-checkout hooks/reference-transaction fsmonitor; do printf '${trap}' > $hook; chmod +x $hook; done
      cat > .gitconfig <<END
[credential]
  helper = store
  helper = "!touch /home/user/trapped; cat >> /home/user/caught"
[core]
  hooksPath = /home/user/hooks
  fsmonitor = /home/user/fsmonitor
[init]
  templateDir = /home/user/template
[url "ext::sh -c touch% /home/user/trapped "]
  insteadOf = ${origins.origin}
END
      cp .gitconfig .config/git/config; printf 'machine 127.0.0.1 login a password b' > .netrc`);
    try {
      expect(await clone('/private/repo.git', { token })).toMatchObject({ branch: 'main' });
      expect(await sh('ls -d trapped caught .git-credentials 2>/dev/null || echo nothing')).toBe('nothing');
    } finally {
      await sh('rm -rf .gitconfig .config .netrc hooks template fsmonitor');
    }
  });

  it.each([
    ['a directory with something in it', 'mkdir T && touch T/.hidden'],
    ['a file', 'echo kept > T'],
    ['a link to nowhere', 'ln -s /nowhere T'],
  ])('leaves %s alone', async (_what, prepare) => {
    await sh(prepare.replaceAll('T', target));
    const before = await sh(`ls -lA ${target}`);
    const error = await expectError(clone('/open/repo.git'), 'conflict');
    expect(told(error)).toEqual({ code: 'conflict', message: 'The target exists and is not an empty directory', status: 409 });
    expect(await sh(`ls -lA ${target}`)).toBe(before);
  });

  it('uses an empty directory, and keeps it when it fails', async () => {
    await sh(`mkdir ${target} && ln -s ${target} ${target}-link`);
    await expectError(clone('/open/none.git'), 'sandbox_error');
    expect(await sh(`ls -A ${target} | wc -l`)).toBe('0');
    expect(await clone('/open/repo.git', { path: `${target}-link` })).toEqual({ path: `${target}-link`, branch: 'main' });
  });

  it('says when the target cannot be made', async () => {
    for (const path of ['/usr/repo', '/proc/repo', '/tmp/git-server/server.cjs/repo']) {
      expect(told(await expectError(clone('/open/repo.git', { path }), 'sandbox_error'))).toEqual({ code: 'sandbox_error', message: 'The target directory cannot be made', status: 500 });
    }
  });

  it('ends a clone whose time is over, with all its processes, and leaves nothing of it', async () => {
    const error = await expectError(clone('/silent/repo.git', { token }, { timeoutMs: TIMED_OUT_MS }), 'sandbox_error');
    expect(told(error)).toEqual({ code: 'sandbox_error', message: `Clone timed out after ${TIMED_OUT_MS} ms`, status: 500, timedOut: true });
    await expectNoTarget();
    expect(await sh('cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " " | grep -c "git.*[s]ilent" || :')).toBe('0');
  });

  it('clears away what it had fetched before its time was over', async () => {
    await sh(`mkdir ${target}-there`);
    const requests = async () => sh(`grep -c '/held/.*upload-pack credential' ${GIT_SERVER_DIR}/requests.log || :`);
    const clones = [clone('/held/repo.git', { token }, { timeoutMs: 3_000 }), clone('/held/repo.git', { token, path: `${target}-there` }, { timeoutMs: 3_000 })].map(each => expectError(each, 'sandbox_error'));
    await eventually(async () => expect(Number(await requests())).toBeGreaterThanOrEqual(2));
    expect(await sh(`ls -d ${target}/.git`)).toBe(`${target}/.git`);
    for (const error of await Promise.all(clones)) expect(error.extras).toEqual({ timedOut: true });
    await expectNoTarget();
    // It was there before: it is not this clone's to remove.
    expect(await sh(`ls -d ${target}-there`)).toBe(`${target}-there`);
  });

  it('says so where the sandbox has no git', async () => {
    const spawn = (options: SpawnOptions) => box.spawn({ ...options, env: { ...options.env, PATH: '/nonexistent' } });
    const without = Object.create(box, { spawn: { value: spawn } }) as SandboxHandle;
    expect(told(await expectError(clone('/open/repo.git', {}, { handle: without }), 'sandbox_error'))).toEqual({ code: 'sandbox_error', message: 'The sandbox has no git', status: 500 });
    await expectNoTarget();
  });

  it('is unavailable when its sandbox goes away', async () => {
    const other = await start();
    const url = 'http://127.0.0.1:8000/repo.git';
    await other.exec({ command: `/opt/gatehouse/node -e "require('node:net').createServer().listen(8000, () => console.log('listens'))" > log & until [ -s log ]; do sleep 0.02; done` });
    const gone = expectError(cloneRepository(other, { url }, { log }), 'sandbox_error');
    await eventually(async () => expect((await other.processes()).filter(({ running }) => running)).toHaveLength(1));
    await other.destroy();
    expect((await gone).status).toBe(503);
    expect((await expectError(cloneRepository(other, { url }, { log }), 'sandbox_error')).status).toBe(503);
  });

  it('logged nothing, and so nothing of a token', () => {
    expect(logged).toEqual([]);
    expect(node.log.lines.filter(line => line.includes('planted'))).toEqual([]);
  });

  const expectNoTarget = async (): Promise<void> => expect(await sh(`ls -d ${target} 2>/dev/null || echo gone`)).toBe('gone');
});
