import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectsWithSpecs, readTotals, sum } from './test-totals.mjs';

test('totals are added over projects', () => {
  const dir = mkdtempSync(join(tmpdir(), 'gatehouse-totals-'));
  writeFileSync(join(dir, 'vault.json'), '{"passed":3,"failed":1,"skipped":0}');
  writeFileSync(join(dir, 'budget.json'), '{"passed":4,"failed":0,"skipped":2}');
  const totals = readTotals(dir);
  assert.deepEqual([...totals.keys()], ['budget', 'vault']);
  assert.deepEqual(sum(totals.values()), { passed: 7, failed: 1, skipped: 2 });
  rmSync(dir, { recursive: true });
});

test('a folder without results adds up to nothing', () => {
  const dir = join(mkdtempSync(join(tmpdir(), 'gatehouse-totals-')), 'none');
  assert.deepEqual(sum(readTotals(dir).values()), { passed: 0, failed: 0, skipped: 0 });
});

test('the projects whose silence is noticed are those with specs', () => {
  const projects = projectsWithSpecs();
  for (const name of ['gateway', 'rpc', 'e2e', 'tools']) assert.ok(projects.includes(name), name);
});
