import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Children, endLeftovers } from './children.mjs';
import { identify, isRunning } from './process-identity.mjs';
import { until } from '../until.mjs';

let dir;
before(() => (dir = mkdtempSync(join(tmpdir(), 'gatehouse-children-'))));
after(() => rmSync(dir, { recursive: true, force: true }));

test('a child stands in the record while it runs, and not afterwards', async () => {
  const file = join(dir, 'while.json');
  const children = new Children(file);
  const child = children.spawn('sleeper', ['sleep', '30'], { stdio: 'ignore' });
  const [recorded] = JSON.parse(readFileSync(file, 'utf8'));
  assert.deepEqual({ name: recorded.name, pid: recorded.pid }, { name: 'sleeper', pid: child.pid });
  await children.stop(child);
  assert.equal(existsSync(file), false);
});

test('a child that ignores the request to stop is killed at the deadline', async () => {
  const children = new Children(join(dir, 'deaf.json'));
  const child = children.spawn('deaf', ['sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 1; done'], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout, 'data');
  await children.stop(child, { deadlineMs: 100 });
  assert.equal(child.signalCode, 'SIGKILL');
});

test('leftovers are ended, and a recycled process id among them is not', async () => {
  const file = join(dir, 'leftovers.json');
  const left = spawn('sleep', ['30'], { detached: true, stdio: 'ignore' });
  const bystander = spawn('sleep', ['30'], { detached: true, stdio: 'ignore' });
  const record = (child, changes) => ({ ...identify(child.pid), name: 'x', stopSignal: 'SIGTERM', ...changes });
  writeFileSync(file, JSON.stringify([record(left, { name: 'left' }), record(bystander, { started: 'another-boot/123' })]));

  assert.deepEqual(await endLeftovers(file), ['left']);
  assert.equal(identify(left.pid), undefined);
  assert.equal(isRunning(identify(bystander.pid)), true);
  assert.equal(existsSync(file), false);
  bystander.kill('SIGKILL');
});

test('children die with a parent that was killed', { skip: process.platform !== 'linux' }, async t => {
  const script = `
    import { Children } from ${JSON.stringify(import.meta.resolve('./children.mjs'))};
    const child = new Children(${JSON.stringify(join(dir, 'orphans.json'))}).spawn('sleeper', ['sleep', '30'], { stdio: 'ignore' });
    process.stdout.write(String(child.pid));
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => parent.kill('SIGKILL'));
  const [pid] = await once(parent.stdout, 'data');
  const child = await until(() => commandOf(Number(pid)) === 'sleep' && identify(Number(pid)), { deadlineMs: 5_000 });
  parent.kill('SIGKILL');
  assert.equal(await until(() => !isRunning(child), { deadlineMs: 5_000 }), true);
});

/** The death signal is set before the program itself runs, so seeing the program means it is set. */
const commandOf = pid => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
