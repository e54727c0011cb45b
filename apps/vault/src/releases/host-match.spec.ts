import { expect, test } from '@jest/globals';
import { patternsFor } from './host-match.js';

test.each([
  ['mcp.notion.com', ['mcp.notion.com', '*.notion.com']],
  ['localhost', ['localhost']],
  ['.notion.com', ['.notion.com']],
  ['10.0.0.1', ['10.0.0.1']],
  ['[::ffff:1.2.3.4]', ['[::ffff:1.2.3.4]']],
])('patterns for %s', (host, patterns) => expect(patternsFor(host)).toEqual(patterns));
