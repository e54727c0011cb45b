import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { devSecrets } from './dev-secrets.mjs';

let dir;
before(() => (dir = mkdtempSync(join(tmpdir(), 'gatehouse-secrets-'))));
after(() => rmSync(dir, { recursive: true, force: true }));

test('keys are made once, and readable to their owner only', () => {
  const file = join(dir, 'once.json');
  const made = devSecrets(file);
  assert.equal(Buffer.from(made.GATEHOUSE_TRANSPORT_KEY, 'base64').length, 32);
  assert.match(made.SANDBOX_KEYS, /^dev:/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(devSecrets(file), made);
});

test('a key this version needs is added to those an earlier one made', () => {
  const file = join(dir, 'older.json');
  writeFileSync(file, '{"SANDBOX_KEYS":"dev:old"}');
  const secrets = devSecrets(file);
  assert.equal(secrets.SANDBOX_KEYS, 'dev:old');
  assert.equal(JSON.parse(readFileSync(file, 'utf8')).POSTGRES_PASSWORD, secrets.POSTGRES_PASSWORD);
});
