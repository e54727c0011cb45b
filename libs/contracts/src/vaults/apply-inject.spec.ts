import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { applyInject, type InjectTarget } from './apply-inject.js';
import { DEFAULT_INJECT, type InjectRule } from './inject-rule.js';

const URL_ = 'https://h.example/mcp?a=1&key=own&key=own2#part';
const request = (...headers: [string, string][]): InjectTarget => ({ url: URL_, headers });

describe('a secret in a request', () => {
  test.each<[what: string, rule: InjectRule, before: InjectTarget, after: InjectTarget]>([
    ['default rule', DEFAULT_INJECT, request(['Accept', '*/*']), request(['Accept', '*/*'], ['Authorization', 'Bearer s&c=+ t'])],
    ['header, replacing any, in any case, all of them', { kind: 'header', header: 'X-Api-Key' }, request(['x-api-key', 'own'], ['a', 'b'], ['X-API-KEY', 'own2']), request(['a', 'b'], ['X-Api-Key', 's&c=+ t'])],
    ['header with a prefix', { kind: 'header', header: 'X-Key', prefix: 'Key=' }, request(), request(['X-Key', 'Key=s&c=+ t'])],
    ['query, replacing any', { kind: 'query', param: 'key' }, request(['a', 'b']), { url: 'https://h.example/mcp?a=1&key=s%26c%3D%2B+t#part', headers: [['a', 'b']] }],
    ['query, added', { kind: 'query', param: 'to&ken' }, request(), { url: 'https://h.example/mcp?a=1&key=own&key=own2&to%26ken=s%26c%3D%2B+t#part', headers: [] }],
    ['basic', { kind: 'basic', username: 'ü' }, request(['authorization', 'own']), request(['Authorization', `Basic ${Buffer.from('ü:s&c=+ t').toString('base64')}`])],
    ['basic without a user', { kind: 'basic' }, request(), request(['Authorization', `Basic ${Buffer.from(':s&c=+ t').toString('base64')}`])],
  ])('%s', (_what, rule, before, after) => expect(applyInject(rule, 's&c=+ t', before)).toEqual(after));

  test('is there exactly once, whatever was there, and never changes where the request goes', () => {
    const headers = fc.array(fc.tuple(fc.constantFrom('authorization', 'AUTHORIZATION', 'x-key', 'X-Key', 'accept'), fc.string()));
    const rule = fc.constantFrom<InjectRule>(DEFAULT_INJECT, { kind: 'header', header: 'x-KEY' }, { kind: 'query', param: 'k' }, { kind: 'basic', username: 'u' });
    fc.assert(
      fc.property(rule, fc.string({ unit: 'grapheme-ascii' }), headers, fc.webUrl({ withQueryParameters: true }), (how, secret, own, url) => {
        const after = applyInject(how, secret, { url, headers: own });
        const [before, target] = [new URL(url), new URL(after.url)];
        expect([target.origin, target.pathname, target.username]).toEqual([before.origin, before.pathname, before.username]);
        if (how.kind === 'query') expect(target.searchParams.getAll('k')).toEqual([secret]);
        else expect(after.headers.filter(([name]) => name.toLowerCase() === (how.kind === 'header' ? how.header : 'Authorization').toLowerCase())).toHaveLength(1);
      }),
    );
  });
});
