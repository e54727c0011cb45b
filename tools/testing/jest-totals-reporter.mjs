import { projectName, writeTotals } from './test-totals.mjs';

/** What is still open so long after the last test will stay open. */
const LINGERING_MS = 60_000;

/**
 * Ends a run that has nothing left to do and does not end, because a spec left something open: as a failure that says what,
 * instead of hanging for ever.
 */
function endIfLingering(project) {
  setTimeout(() => {
    console.error(`${project}: the tests are done, but something they opened is not closed: ${process.getActiveResourcesInfo().join(', ')}`);
    process.exit(1);
  }, LINGERING_MS).unref();
}

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
    endIfLingering(this.#project);
  }
}
