import { describe, expect, test } from '@jest/globals';
import { inspect } from 'node:util';
import type { RefreshFailed } from './refresh-failed.js';
import { parseTokenAnswer } from './token-answer.js';

const SENT_AT = Date.UTC(2030, 0, 1);
const parse = (fields: object | string, status = 200) => parseTokenAnswer({ status, body: typeof fields === 'string' ? fields : JSON.stringify(fields) }, SENT_AT);
const refusalOf = (body: string | null, status: number): RefreshFailed => {
  try {
    parseTokenAnswer({ status, body }, SENT_AT);
  } catch (error) {
    return error as RefreshFailed;
  }
  throw new Error('not refused');
};

describe('token answer', () => {
  test('gives what came, and no field that did not', () => {
    expect(parse({ access_token: 'a', refresh_token: 'r', token_type: 'Bearer', expires_in: 3600, scope: 'x', id_token: 'y' })).toEqual({
      accessToken: 'a',
      refreshToken: 'r',
      tokenType: 'Bearer',
      expiresAt: '2030-01-01T01:00:00.000Z',
    });
    expect(Object.keys(parse({ access_token: 'a' }))).toEqual(['accessToken']);
  });

  test.each([
    [1, '2030-01-01T00:00:01.000Z'],
    ['3600', '2030-01-01T01:00:00.000Z'],
    [59.9, '2030-01-01T00:00:59.000Z'],
    [86_400 * 365, '2031-01-01T00:00:00.000Z'],
  ])('knows the lifetime %j', (expiresIn, expiresAt) => {
    expect(parse({ access_token: 'a', expires_in: expiresIn })).toEqual({ accessToken: 'a', expiresAt });
  });

  test.each([0, -1, 0.5, 1e12, '', '-5', '1e3', '0x10', ' 60', '9'.repeat(400), null, true, [], {}])('takes the lifetime %j for none, and keeps the tokens', expiresIn => {
    expect(parse({ access_token: 'a', refresh_token: 'r', expires_in: expiresIn })).toEqual({ accessToken: 'a', refreshToken: 'r' });
  });

  test('keeps the tokens whatever the other fields are', () => {
    expect(parse({ access_token: 'a', refresh_token: 7, token_type: 'Bearer\r\nx: y', error: null })).toEqual({ accessToken: 'a' });
    expect(parse({ access_token: 'a', refresh_token: '', token_type: '' }, 201)).toEqual({ accessToken: 'a' });
  });

  test.each([{}, { access_token: '' }, { access_token: '  ' }, { access_token: null }, { access_token: 5 }, { access_token: ['a'] }, { access_token: 'a\r\nset-cookie: b' }, { access_token: 'ä' }, { accessToken: 'a' }])('refuses %j', fields => {
    expect(() => parse(fields)).toThrow(/^The token endpoint answered without a usable access token$/);
  });

  test.each(['', 'access_token=a', '<html>', '[]', '"a"', 'null', '{"access_token":"a"', '\u0000'])('refuses %j, which is no JSON object', text => {
    expect(() => parse(text)).toThrow(/^The token endpoint answered with something other than a JSON object$/);
  });

  test('refuses what is too long', () => {
    expect(refusalOf(null, 200).message).toBe('The token endpoint answered with too much');
    expect(refusalOf(null, 503).message).toBe('The token endpoint refused with status 503');
  });

  test.each([301, 302, 303, 307, 308, 304])('takes status %i for a failure, even with tokens', status => {
    expect(refusalOf('{"access_token":"a"}', status)).toMatchObject({ permanent: false, message: `The token endpoint answered with a redirect (status ${status}), which is not followed` });
  });

  test.each([
    [400, 'invalid_grant', true],
    [401, 'invalid_client', true],
    [400, 'unauthorized_client', true],
    [400, 'unsupported_grant_type', true],
    [401, 'invalid_scope', true],
    [400, 'invalid_request', false],
    [400, 'invalid_target', false],
    [400, 'temporarily_unavailable', false],
    [500, 'invalid_grant', false],
    [429, 'invalid_client', false],
    [200, 'invalid_grant', false],
  ])('tells status %i with %s, and whether that is for ever: %j', (status, error, permanent) => {
    expect(refusalOf(JSON.stringify({ error, error_description: 'planted' }), status)).toMatchObject({ name: 'RefreshFailed', permanent, message: `The token endpoint refused with status ${status} (${error})` });
  });

  test.each(['planted', 'INVALID_GRANT', 'invalid_grant planted', 'toString', '__proto__', ['invalid_grant'], { planted: true }, 7])('does not repeat the error %j', error => {
    const refusal = refusalOf(JSON.stringify({ error, error_description: 'planted', error_uri: 'planted', planted: 'planted' }), 400);
    expect(refusal).toMatchObject({ permanent: false, message: 'The token endpoint refused with status 400' });
    expect(inspect(refusal, { depth: 10, showHidden: true })).not.toContain('planted');
  });

  test('quotes nothing of what is no JSON', () => {
    expect(inspect(refusalOf('planted', 200), { depth: 10, showHidden: true })).not.toContain('planted');
  });
});
