import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MALFORMED_QUERY, parseQuery } from './query-string.js';

describe('queries', () => {
  test.each([
    ['', {}],
    ['a=1&b=2', { a: '1', b: '2' }],
    ['a', { a: '' }],
    ['a=', { a: '' }],
    ['a=1=2', { a: '1=2' }],
    ['a+b=c%20d+e', { 'a b': 'c d e' }],
    ['a=1&a=2&a=3', { a: ['1', '2', '3'] }],
    ['m[k]=1&m[l]=2', { m: { k: '1', l: '2' } }],
    ['m%5Bk%5D=1', { m: { k: '1' } }],
    ['m=1&m[k]=2', { m: ['1', { k: '2' }] }],
    ['__proto__=1&constructor=2', JSON.parse('{"__proto__":"1","constructor":"2"}')],
  ])('%s', (text, values) => {
    expect(JSON.parse(JSON.stringify(parseQuery(text)))).toEqual(values);
  });

  test('what cannot be decoded is marked, and nothing throws', () => {
    expect(parseQuery('a=%zz')[MALFORMED_QUERY]).toBe(true);
    expect(parseQuery('%c3%28=1')[MALFORMED_QUERY]).toBe(true);
    fc.assert(fc.property(fc.string(), text => typeof parseQuery(text) === 'object'));
  });

  test('a name given thousands of times, with brackets or without, is one flat list', () => {
    for (const text of ['a&'.repeat(8_000), `a=1&${'a[k]&'.repeat(4_000)}`]) {
      const { a } = parseQuery(text) as { a: unknown[] };
      expect(Array.isArray(a) && a.length >= 4_000 && a.every(item => !Array.isArray(item))).toBe(true);
    }
  });
});
