import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Coverage, coverageMissingHeader, coverageRefusal } from './coverage.js';

type Missing = Pick<Coverage, 'mode' | 'missing'>;

describe('a run is refused', () => {
  test('in strict mode, when a server has no credential', () => {
    const message = 'No credential covers MCP servers: linear, notion';
    expect(coverageRefusal({ mode: 'strict', missing: ['linear', 'notion'] })?.toEnvelope()).toEqual({ error: { code: 'vault_coverage_missing', message, status: 422, missing: ['linear', 'notion'] } });
  });

  test.each<Missing>([
    { mode: 'strict', missing: [] },
    { mode: 'warn', missing: ['linear'] },
    { mode: 'warn', missing: [] },
    { mode: 'off', missing: ['linear'] },
    { mode: 'off', missing: [] },
  ])('not for %j', coverage => {
    expect(coverageRefusal(coverage)).toBeNull();
  });
});

describe('the header of a run that goes on', () => {
  test.each<[names: readonly string[], header: string]>([
    [['linear'], 'linear'],
    [['linear', 'notion'], 'linear,notion'],
    [['notion', 'linear'], 'notion,linear'],
    [['a,b', 'c%2C'], 'a%2Cb,c%252C'],
    [['two words', 'tab\there', 'line\r\nbreak', '\u007f'], 'two%20words,tab%09here,line%0D%0Abreak,%7F'],
    [['bücher', '\u{1f511}', '\u00a0'], 'b%C3%BCcher,%F0%9F%94%91,%C2%A0'],
    [['half \ud800'], 'half%20%EF%BF%BD'],
    [['!"#$&\'()*+-./:;<=>?@[\\]^_`{|}~'], '!"#$&\'()*+-./:;<=>?@[\\]^_`{|}~'],
  ])('names %j', (missing, header) => {
    expect(coverageMissingHeader({ mode: 'warn', missing })).toBe(header);
  });

  test.each<Missing>([
    { mode: 'warn', missing: [] },
    { mode: 'strict', missing: ['linear'] },
    { mode: 'off', missing: ['linear'] },
  ])('is absent for %j', coverage => {
    expect(coverageMissingHeader(coverage)).toBeNull();
  });

  test('is visible ASCII whatever the names, and gives them back', () => {
    const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 100 });
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 50 }), missing => {
        const header = coverageMissingHeader({ mode: 'warn', missing }) ?? '';
        expect(header).toMatch(/^[\x21-\x7e]+$/);
        expect(header.split(',').map(decodeURIComponent)).toEqual(missing);
      }),
    );
  });
});
