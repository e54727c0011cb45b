import { writeTotals } from './test-totals.mjs';

/** The same for the tests of the tools, which run under node:test so that they need nothing installed. */
export default async function* nodeTotalsReporter(source) {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details.type === 'suite' || isFile(data)) continue;
    if (data.skip !== undefined || data.todo !== undefined) totals.skipped += 1;
    else if (type === 'test:pass') totals.passed += 1;
    else totals.failed += 1;
  }
  writeTotals('tools', totals);
  yield '';
}

const isFile = ({ name, nesting, file }) => nesting === 0 && name === file;
