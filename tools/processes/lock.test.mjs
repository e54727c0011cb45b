import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { until } from '../until.mjs';
import { acquireLock, askHolder } from './lock.mjs';

const purpose = name => `test-${process.pid}-${name}`;

test('the second to come is refused, and told who holds the lock', async () => {
  const release = await acquireLock(purpose('held'), () => ({ pid: 42 }));
  assert.equal(await acquireLock(purpose('held')), undefined);
  assert.deepEqual(await askHolder(purpose('held')), { pid: 42 });
  await release();
  assert.equal(await askHolder(purpose('held')), undefined);
  await (await acquireLock(purpose('held')))();
});

test('a lock is free again when its holder was killed', async t => {
  const script = `
    import { acquireLock } from ${JSON.stringify(import.meta.resolve('./lock.mjs'))};
    await acquireLock(${JSON.stringify(purpose('killed'))});
    process.stdout.write('held');
    setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  assert.equal(await acquireLock(purpose('killed')), undefined);
  holder.kill('SIGKILL');
  const release = await until(() => acquireLock(purpose('killed')), { deadlineMs: 5_000 });
  assert.equal(typeof release, 'function');
  await release();
});
