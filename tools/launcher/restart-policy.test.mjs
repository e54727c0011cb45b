import assert from 'node:assert/strict';
import { test } from 'node:test';
import { restartPolicy } from './restart-policy.mjs';

test('waits longer each time, and gives up at the sixth death within a minute', () => {
  const next = restartPolicy(() => 0);
  assert.deepEqual([next(), next(), next(), next(), next(), next()], [250, 500, 1000, 2000, 4000, undefined]);
});

test('a death now and then is forgotten after a minute', () => {
  let now = 0;
  const next = restartPolicy(() => now);
  for (let day = 0; day < 20; day++, now += 61_000) assert.equal(next(), 250);
});
