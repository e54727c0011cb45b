import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { identify, isRunning, signal } from './process-identity.mjs';

test('a process is the same only while its start time is', () => {
  const me = identify(process.pid);
  assert.equal(isRunning(me), true);
  assert.equal(isRunning({ ...me, started: `${me.started}0` }), false);
});

test('a process id that belongs to somebody else by now is never signalled', async () => {
  const bystander = spawn('sleep', ['30']);
  await once(bystander, 'spawn');
  const recycled = { ...identify(bystander.pid), started: 'another-boot/123' };
  assert.equal(signal(recycled, 'SIGKILL'), false);
  assert.equal(isRunning(identify(bystander.pid)), true);
  bystander.kill('SIGKILL');
  await once(bystander, 'exit');
});

test('a process that ended has no identity', async () => {
  const child = spawn('true');
  await once(child, 'exit');
  assert.equal(identify(child.pid), undefined);
});
