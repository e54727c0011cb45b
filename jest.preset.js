import { fileURLToPath } from 'node:url';

const tool = name => fileURLToPath(new URL(`./tools/testing/${name}`, import.meta.url));

/** @swc/jest emits ES modules (jest runs with --experimental-vm-modules) and keeps the decorator metadata Nest injects by. */
const swc = {
  swcrc: false,
  jsc: {
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
    target: 'es2022',
    keepClassNames: true,
  },
};

export default {
  testEnvironment: 'node',
  globalSetup: tool('jest-global-setup.mjs'),
  globalTeardown: tool('jest-global-teardown.mjs'),
  reporters: ['default', tool('jest-totals-reporter.mjs')],
  // A process that only holds its place is tested end to end.
  passWithNoTests: true,
  testMatch: ['<rootDir>/src/**/*.spec.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.c?ts$': ['@swc/jest', swc] },
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  testEnvironmentOptions: { customExportConditions: ['gatehouse-source', 'node', 'node-addons'] },
};
