import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { ESLint } from 'eslint';
import { runNode } from './processes/commands.mjs';
import { root } from './workspace.mjs';

// The boundary rule falls silent when its configuration no longer matches the projects, so breaches are planted here.
const eslint = new ESLint({
  cwd: root,
  // The planted files are in no TypeScript project, so rules that need types are left out.
  overrideConfig: { languageOptions: { parserOptions: { project: null } }, rules: { '@typescript-eslint/no-floating-promises': 'off', '@typescript-eslint/no-misused-promises': 'off' } },
});

// Without a project graph the rule skips itself with nothing but a warning.
before(() => runNode(['node_modules/nx/dist/bin/nx.js', 'show', 'projects']));

async function complaints(filePath, text) {
  const [result] = await eslint.lintText(text, { filePath: `${root}/${filePath}` });
  assert.ok(result, `${filePath} is not linted`);
  return result.messages.filter(({ ruleId }) => ruleId === '@nx/enforce-module-boundaries').map(({ message }) => message);
}

for (const [what, filePath, text] of [
  ['an app that imports another app', 'apps/vault/src/planted.ts', "export * from '../../gateway/src/config.js';"],
  ['an app that imports the test kit', 'apps/vault/src/planted.ts', "export * from '@gatehouse/testing';"],
  ['a library that imports an app', 'libs/rpc/src/planted.ts', "export * from '../../../apps/gateway/src/config.js';"],
  ['contracts that import another library', 'libs/contracts/src/planted.ts', "export * from '@gatehouse/platform';"],
  ['a library that reaches into another by path', 'libs/platform/src/planted.ts', "export * from '../../rpc/src/index.js';"],
]) {
  test(`lint refuses ${what}`, async () => {
    assert.notDeepEqual(await complaints(filePath, text), []);
  });
}

for (const [what, filePath, text] of [
  ['an app that imports a library', 'apps/vault/src/planted.ts', "export * from '@gatehouse/platform';"],
  ['a spec that imports the test kit', 'apps/vault/src/planted.spec.ts', "export * from '@gatehouse/testing';"],
]) {
  test(`lint allows ${what}`, async () => {
    assert.deepEqual(await complaints(filePath, text), []);
  });
}
