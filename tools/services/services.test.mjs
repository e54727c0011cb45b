import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { Redis } from 'ioredis';
import pg from 'pg';
import { Children } from '../processes/children.mjs';
import { startPostgres } from './postgres.mjs';
import { startRedis } from './redis.mjs';
import { throwaway } from './throwaway.mjs';

let dir, end, children;
before(async () => ({ dir, end } = await throwaway()));
beforeEach(() => (children = new Children(join(dir, 'children.json'))));
afterEach(() => children.close());
after(() => end());

const withPassword = (url, password) => Object.assign(new URL(url), { password }).href;

async function currentUser(url) {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query('SELECT current_user AS name')).rows[0].name;
  } finally {
    await client.end();
  }
}

async function ping(url) {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: null, maxRetriesPerRequest: 0 });
  redis.on('error', () => {}); // Told by the command as well.
  try {
    return await redis.ping();
  } finally {
    redis.disconnect();
  }
}

test('Redis lets in who knows the password, which is not among its arguments', async () => {
  const url = await startRedis(children, dir, { password: 'right' });
  assert.equal(await ping(url), 'PONG');
  await assert.rejects(ping(withPassword(url, '')), /NOAUTH/);
  const { pid } = JSON.parse(readFileSync(join(dir, 'children.json'), 'utf8')).find(({ name }) => name === 'redis');
  assert.doesNotMatch(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /right/);
});

test('Postgres lets in who knows the password; data that asked nobody for one is given it', async () => {
  const start = password => startPostgres(children, dir, { durable: false, password });
  const url = await start('first');
  assert.equal(await currentUser(url), 'postgres');
  await assert.rejects(currentUser(withPassword(url, 'wrong')), /password authentication failed/);
  await children.close();

  const rules = join(dir, 'postgres/pg_hba.conf');
  writeFileSync(rules, readFileSync(rules, 'utf8').replaceAll('scram-sha-256', 'trust'));
  children = new Children(join(dir, 'children.json'));
  const changed = await start("it's new");
  assert.equal(await currentUser(changed), 'postgres');
  await assert.rejects(currentUser(withPassword(changed, 'first')), /password authentication failed/);
});
