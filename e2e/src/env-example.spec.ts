import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));

test('.env.example is what the processes really read; if not: node tools/env-example.mjs', () => {
  const print = "import('./tools/env-example.mjs').then(async ({ envExample }) => process.stdout.write(await envExample()))";
  expect(readFileSync(`${root}.env.example`, 'utf8')).toBe(execFileSync(process.execPath, ['-e', print], { cwd: root, encoding: 'utf8' }));
});
