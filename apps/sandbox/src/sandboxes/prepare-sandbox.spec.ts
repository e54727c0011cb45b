import { beforeEach, describe, expect, it } from '@jest/globals';
import { GatehouseError } from '@gatehouse/contracts';
import { createLogger } from '@gatehouse/platform';
import { expectError } from '@gatehouse/testing';
import { DriverError } from '../drivers/driver-error.js';
import { type FakeBox, FakeDriver } from '../testing/fake-driver.js';
import type { StepLog } from './logged-step.js';
import { prepareSandbox, type Preparation } from './prepare-sandbox.js';

const plain: Preparation = { files: [], cwd: null, setup: [], envs: {} };

describe('prepareSandbox', () => {
  let driver: FakeDriver;
  let box: FakeBox;
  let lines: object[];
  const log: StepLog = createLogger({ service: 'sandbox', instance: 'spec', level: 'info', destination: { write: line => void lines.push(JSON.parse(line) as object) } });
  beforeEach(() => {
    lines = [];
    driver = new FakeDriver();
    box = driver.runs({ sandboxId: 'x', generation: 1 });
  });
  const prepare = (preparation: Partial<Preparation>, signal = new AbortController().signal) => prepareSandbox(box, { ...plain, ...preparation }, signal, log);

  it('lays the files of the request over those of the agent, however their paths are spelled', async () => {
    await prepare({ files: [{ 'a.txt': 'agent', 'b.txt': 'agent', '/srv/../etc/c': 'agent' }, [{ path: './x/../a.txt', content: 'request' }, { path: '/etc/c', content: 'ü' }]] });
    expect(Object.fromEntries(box.written)).toEqual({ '/home/user/a.txt': 'request', '/home/user/b.txt': 'agent', '/etc/c': 'ü' });
  });

  it('leaves the default working directory to the new home, and runs setup at home', async () => {
    await prepare({ setup: ['first', 'second'], envs: { A: '1' } });
    expect(box.directories).toEqual([]);
    expect(box.commands).toMatchObject([
      { command: 'first', cwd: '/home/user', env: { A: '1' }, timeoutMs: 120_000 },
      { command: 'second', cwd: '/home/user', env: { A: '1' }, timeoutMs: 120_000 },
    ]);
  });

  it('runs setup in the working directory that was given', async () => {
    await prepare({ setup: ['make'], cwd: 'project' });
    expect(box.directories).toEqual(['/home/user/project']);
    expect(box.commands).toMatchObject([{ cwd: '/home/user/project' }]);
  });

  it('stops at the first setup command that fails and names it without its output', async () => {
    driver.onExec = async ({ command }) => (command === 'b' ? { exitCode: 3, stderr: Buffer.from('planted-secret') } : {});
    const error = await expectError(prepare({ setup: ['a', 'b', 'c'] }), 'sandbox_error');
    expect(error.toEnvelope()).toEqual({ error: { code: 'sandbox_error', message: 'Setup command 2 exited with code 3', status: 500 } });
    expect(box.commands.map(({ command }) => command)).toEqual(['a', 'b']);
  });

  it('says when a setup command ran out of time', async () => {
    driver.onExec = async () => ({ timedOut: true, exitCode: 137 });
    const error = await expectError(prepare({ setup: ['sleep 1000'] }), 'sandbox_error');
    expect(error.toEnvelope()).toEqual({ error: { code: 'sandbox_error', message: 'Setup command 1 timed out after 120000 ms', status: 500, timedOut: true } });
  });

  it('fails when a file cannot be written, and when the box goes away', async () => {
    box.files.write = async () => {
      throw new DriverError('failed', 'The disk is full');
    };
    expect((await expectError(prepare({ files: [{ a: '' }] }), 'sandbox_error')).status).toBe(500);
    box.end('crashed');
    expect((await expectError(prepare({ setup: ['true'] }), 'sandbox_error')).status).toBe(503);
  });

  it('gives up when nobody wants the sandbox any more', async () => {
    const reason = new GatehouseError('not_found', 'Sandbox not found');
    await expect(prepare({ files: [{ a: '' }] }, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(box.written.size).toBe(0);
  });

  const steps = () => lines.map(line => ({ ...line, level: undefined, time: undefined, service: undefined, instance: undefined }));
  const ms = expect.any(Number);

  it('logs what each step came to, and nothing that a caller wrote', async () => {
    driver.onExec = async ({ command }) => (command.includes('fails') ? { exitCode: 3, stdout: Buffer.from('planted'), stderr: Buffer.from('planted') } : {});
    await expectError(prepare({ files: [{ 'planted.txt': 'planted ü', b: '1' }], cwd: 'planted', setup: ['planted', 'planted fails', 'planted'], envs: { PLANTED: 'planted' } }), 'sandbox_error');
    expect(steps()).toEqual([
      { step: 'files', files: 2, bytes: 11, ms, msg: 'sandbox setup' },
      { step: 'command', number: 1, of: 3, exitCode: 0, timedOut: false, ms, msg: 'sandbox setup' },
      { step: 'command', number: 2, of: 3, exitCode: 3, timedOut: false, ms, msg: 'sandbox setup' },
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/planted/i);
  });

  it('logs why a step failed', async () => {
    box.files.write = () => Promise.reject(new DriverError('failed', 'The disk is full', new Error('planted')));
    await expectError(prepare({ files: [{ planted: '' }] }), 'sandbox_error');
    driver.onExec = () => Promise.reject(new DriverError('unavailable', 'The sandbox went away'));
    await expectError(prepare({ setup: ['planted'] }), 'sandbox_error');
    expect(steps()).toEqual([
      { step: 'files', files: 1, bytes: 0, failed: 'The disk is full', ms, msg: 'sandbox setup' },
      { step: 'files', files: 0, bytes: 0, ms, msg: 'sandbox setup' },
      { step: 'command', number: 1, of: 1, failed: 'The sandbox went away', ms, msg: 'sandbox setup' },
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/planted/i);
  });
});
