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
  assert.match(made.VAULT_KEYS, /^dev:/);
  assert.notEqual(made.VAULT_KEYS, made.SANDBOX_KEYS);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(devSecrets(file), made);
});

test('a key this version needs is added to those an earlier one made', () => {
  const file = join(dir, 'older.json');
  writeFileSync(file, '{"SANDBOX_KEYS":"dev:old"}');
  const secrets = devSecrets(file);
  assert.equal(secrets.SANDBOX_KEYS, 'dev:old');
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), secrets);
  assert.match(secrets.VAULT_KEYS, /^dev:/);
  assert.match(secrets.POSTGRES_PASSWORD, /./);
});

test('the public key for run tokens is that of the private one, of an earlier one too', () => {
  const file = join(dir, 'run-tokens.json');
  // The first test vector of RFC 8032.
  const [seed, publicKey] = ['9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'].map(hex => Buffer.from(hex, 'hex').toString('base64'));
  writeFileSync(file, JSON.stringify({ RUN_TOKEN_PRIVATE_KEY: seed }));
  assert.equal(devSecrets(file).RUN_TOKEN_PUBLIC_KEYS, publicKey);
  assert.equal(devSecrets(file).RUN_TOKEN_PRIVATE_KEY, seed);
});
