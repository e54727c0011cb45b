import { expect, test } from '@jest/globals';
import { QuietLog } from './logger.js';

test('a quiet log writes one line per interval and says how many it held back', () => {
  const written: object[] = [];
  const seldom = new QuietLog(fields => written.push(fields), 60_000);
  for (let line = 0; line < 100; line++) seldom.line({ line }, 'text');
  expect(written).toEqual([{ line: 0 }]);

  const always = new QuietLog(fields => written.push(fields), 0);
  always.line({ line: 'a' }, 'text');
  always.line({ line: 'b' }, 'text');
  expect(written.slice(1)).toEqual([{ line: 'a' }, { line: 'b' }]);
});
