import { projectName, writeTotals } from './test-totals.mjs';

/** Writes how many tests of a project passed and failed to where `npm test` adds them up. */
export default class JestTotalsReporter {
  #project;

  constructor(globalConfig) {
    this.#project = projectName(globalConfig.rootDir);
  }

  onRunComplete(_contexts, results) {
    writeTotals(this.#project, {
      passed: results.numPassedTests,
      // A file that cannot even be loaded has no tests to count, and is a failure.
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
      skipped: results.numPendingTests + results.numTodoTests,
    });
  }
}
