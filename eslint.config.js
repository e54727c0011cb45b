import nx from '@nx/eslint-plugin';
import tseslint from 'typescript-eslint';

const rule = (sourceTag, ...onlyDependOnLibsWithTags) => ({ sourceTag, onlyDependOnLibsWithTags });

/** Apps use libraries and never one another; contracts stand on nothing of ours; only specs may reach for the test kit. */
const boundaries = testKit => [
  'error',
  {
    allow: [],
    depConstraints: [
      rule('type:app', 'type:lib', ...testKit),
      rule('type:lib', 'type:lib', ...testKit),
      rule('type:testing', 'type:lib'),
      rule('type:workbench', 'type:lib', 'type:testing'),
      rule('scope:contracts', 'scope:contracts', ...testKit),
      rule('scope:sealing', 'scope:contracts', 'scope:sealing', ...testKit),
      rule('scope:database', 'scope:contracts', 'scope:database', ...testKit),
      rule('scope:rpc', 'scope:contracts', 'scope:sealing', 'scope:rpc', ...testKit),
    ],
  },
];

export default tseslint.config(
  { ignores: ['**/dist', '**/node_modules', '**/generated', '.gatehouse', '.nx'] },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts', '**/*.cts'],
    plugins: { '@nx': nx },
    languageOptions: { parserOptions: { project: './tsconfig.typecheck.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/no-explicit-any': 'error',
      'no-empty': ['error', { allowEmptyCatch: false }],
      '@nx/enforce-module-boundaries': boundaries([]),
    },
  },
  { files: ['**/*.spec.ts', '**/*.conformance.ts', '**/testing/**'], plugins: { '@nx': nx }, rules: { '@nx/enforce-module-boundaries': boundaries(['type:testing']) } },
  { files: ['**/*.mjs', '**/*.js'], languageOptions: { globals: { process: 'readonly', console: 'readonly' } } },
);
