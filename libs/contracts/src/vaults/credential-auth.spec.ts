import { describe, expect, test } from '@jest/globals';
import { parseHttpInput, parseInput } from '../validation/parse-input.js';
import { CreateCredential } from './credentials.js';

const OTHERS = { serverUrl: 'https://h.example/' };
const read = (auth: unknown): CreateCredential => parseHttpInput(CreateCredential, { path: { vaultId: 'v' }, query: {}, body: { ...OTHERS, auth } });
const LONGEST = 'x'.repeat(16_384);

const REFRESH = 'auth.type oauth with a refresh needs refreshToken, tokenEndpoint and clientId together';
const NOTHING = 'auth.type oauth needs at least one of accessToken, refreshToken, clientId and clientSecret';
const DATE = 'auth.expiresAt must be an ISO 8601 date and time with an offset or Z';
const ENDPOINT = { refreshToken: 'r', tokenEndpoint: 'https://t.example/token', clientId: 'c' };

describe('auth is kept', () => {
  test.each([
    ['a token, trimmed', { type: 'bearer', token: '  s3cret ' }, { type: 'bearer', token: 's3cret' }],
    ['the longest token after trimming', { type: 'bearer', token: ` ${LONGEST} ` }, { type: 'bearer', token: LONGEST }],
    ['a token of any characters', { type: 'bearer', token: 'ü\u{1f511}' }, { type: 'bearer', token: 'ü\u{1f511}' }],
    ['an access token of any characters', { type: 'oauth', accessToken: 'ü\u{1f511}' }, { type: 'oauth', accessToken: 'ü\u{1f511}' }],
    ['without what it does not know', { type: 'bearer', token: 't', accessToken: 'a', refreshToken: 7 }, { type: 'bearer', token: 't' }],
    ['an access token alone', { type: 'oauth', accessToken: ' a ' }, { type: 'oauth', accessToken: 'a' }],
    ['a client id alone', { type: 'oauth', clientId: 'c' }, { type: 'oauth', clientId: 'c' }],
    ['a client secret alone', { type: 'oauth', clientSecret: 'c' }, { type: 'oauth', clientSecret: 'c' }],
    ['a refresh set', { type: 'oauth', ...ENDPOINT }, { type: 'oauth', ...ENDPOINT }],
    ['a refresh set of a public client', { type: 'oauth', ...ENDPOINT, tokenEndpointAuth: ' none ' }, { type: 'oauth', ...ENDPOINT, tokenEndpointAuth: 'none' }],
    ['a refresh set of a client with a secret', { type: 'oauth', ...ENDPOINT, tokenEndpointAuth: 'client_secret_post', clientSecret: 's' }, { type: 'oauth', ...ENDPOINT, tokenEndpointAuth: 'client_secret_post', clientSecret: 's' }],
    ['null and blank as absent', { type: 'oauth', accessToken: 'a', refreshToken: null, clientId: '', clientSecret: '  ', tokenEndpoint: null, tokenEndpointAuth: ' ', tokenType: '', expiresAt: null, scope: '\t', resource: null }, { type: 'oauth', accessToken: 'a' }],
    ['everything else', { type: 'oauth', accessToken: 'a', tokenType: 'DPoP', expiresAt: '2026-03-01T09:30:00+02:00', scope: ' a b ', resource: 'https://r/' }, { type: 'oauth', accessToken: 'a', tokenType: 'DPoP', expiresAt: '2026-03-01T09:30:00+02:00', scope: 'a b', resource: 'https://r/' }],
  ])('%s', (_what, auth, kept) => {
    const input = read(auth);
    expect(input.auth).toEqual(kept);
    expect(parseInput(CreateCredential, JSON.parse(JSON.stringify(input)))).toEqual(input);
  });

  test.each(['2026-03-01T09:30Z', '2026-03-01T09:30:00Z', '2026-03-01T09:30:00.123456789Z', '2026-03-01T09:30:00-0800', '2024-02-29T00:00:00+14:00'])('an end at %s', expiresAt => {
    expect(read({ type: 'oauth', accessToken: 'a', expiresAt }).auth).toEqual({ type: 'oauth', accessToken: 'a', expiresAt });
  });
});

describe('auth is refused', () => {
  test.each<[unknown, string, string]>([
    [undefined, 'invalid_request', 'auth is required'],
    [null, 'invalid_request', 'auth is required'],
    ['bearer', 'validation_error', 'auth must be an object'],
    [[], 'validation_error', 'auth must be an object'],
    [7, 'validation_error', 'auth must be an object'],
    [{}, 'invalid_request', 'auth.type is required'],
    [{ type: null }, 'invalid_request', 'auth.type is required'],
    [{ type: '' }, 'invalid_request', 'auth.type is required'],
    [{ token: 't' }, 'invalid_request', 'auth.type is required'],
    [{ type: 'basic', token: 't' }, 'validation_error', 'auth.type must be one of bearer, oauth'],
    [{ type: 'Bearer', token: 't' }, 'validation_error', 'auth.type must be one of bearer, oauth'],
    [{ type: 'constructor' }, 'validation_error', 'auth.type must be one of bearer, oauth'],
    [{ type: 7 }, 'validation_error', 'auth.type must be one of bearer, oauth'],
    [{ type: ['bearer'], token: 't' }, 'validation_error', 'auth.type must be one of bearer, oauth'],

    [{ type: 'bearer' }, 'invalid_request', 'auth.token is required'],
    [{ type: 'bearer', token: null }, 'invalid_request', 'auth.token is required'],
    [{ type: 'bearer', token: '' }, 'validation_error', 'auth.token must not be empty'],
    [{ type: 'bearer', token: ' \t ' }, 'validation_error', 'auth.token must not be empty'],
    [{ type: 'bearer', token: 7 }, 'validation_error', 'auth.token must be a string'],
    [{ type: 'bearer', token: 'a\0b' }, 'validation_error', 'auth.token must not contain NUL'],
    [{ type: 'bearer', token: 'a\ud800' }, 'validation_error', 'auth.token must not contain unpaired surrogates'],
    [{ type: 'bearer', token: '\udc00a' }, 'validation_error', 'auth.token must not contain unpaired surrogates'],
    [{ type: 'bearer', token: 'a\r\nX-Other: b' }, 'validation_error', 'auth.token must not contain control characters'],

    [{ type: 'oauth' }, 'validation_error', NOTHING],
    [{ type: 'oauth', tokenType: 'Bearer', scope: 'a', resource: 'b', expiresAt: '2026-03-01T09:30:00Z' }, 'validation_error', NOTHING],
    [{ type: 'oauth', accessToken: ' ' }, 'validation_error', NOTHING],
    [{ type: 'oauth', token: 't' }, 'validation_error', NOTHING],
    [{ type: 'oauth', refreshToken: 'r' }, 'validation_error', REFRESH],
    [{ type: 'oauth', accessToken: 'a', tokenEndpoint: ENDPOINT.tokenEndpoint }, 'validation_error', REFRESH],
    [{ type: 'oauth', accessToken: 'a', tokenEndpointAuth: 'none' }, 'validation_error', REFRESH],
    [{ type: 'oauth', ...ENDPOINT, clientId: null }, 'validation_error', REFRESH],
    [{ type: 'oauth', ...ENDPOINT, refreshToken: '  ' }, 'validation_error', REFRESH],
    [{ type: 'oauth', ...ENDPOINT, tokenEndpoint: '' }, 'validation_error', REFRESH],
    [{ type: 'oauth', ...ENDPOINT, tokenEndpointAuth: 'client_secret_basic' }, 'validation_error', 'auth.type oauth with client_secret_basic needs clientSecret'],
    [{ type: 'oauth', ...ENDPOINT, tokenEndpointAuth: 'client_secret_post', clientSecret: ' ' }, 'validation_error', 'auth.type oauth with client_secret_post needs clientSecret'],
    [{ type: 'oauth', ...ENDPOINT, tokenEndpointAuth: 'private_key_jwt', clientSecret: 's' }, 'validation_error', 'auth.tokenEndpointAuth must be one of none, client_secret_basic, client_secret_post'],
    [{ type: 'oauth', ...ENDPOINT, tokenEndpointAuth: 'private_key_jwt' }, 'validation_error', 'auth.tokenEndpointAuth must be one of none, client_secret_basic, client_secret_post'],
    [{ type: 'oauth', accessToken: 7 }, 'validation_error', 'auth.accessToken must be a string'],
    [{ type: 'oauth', accessToken: 'a\nb' }, 'validation_error', 'auth.accessToken must not contain control characters'],
    [{ type: 'oauth', accessToken: 'a\ud83d' }, 'validation_error', 'auth.accessToken must not contain unpaired surrogates'],
    [{ type: 'oauth', accessToken: 'a', tokenType: 'a\nb' }, 'validation_error', 'auth.tokenType must not contain control characters'],
    [{ type: 'oauth', accessToken: 'a', scope: 'a\0' }, 'validation_error', 'auth.scope must not contain NUL'],
    [{ type: 'oauth', ...ENDPOINT, tokenEndpoint: 'ftp://t.example/' }, 'validation_error', 'auth.tokenEndpoint must be an http or https URL'],
    [{ type: 'oauth', ...ENDPOINT, tokenEndpoint: 'https://u:p@t.example/' }, 'validation_error', 'auth.tokenEndpoint must not contain user info'],
    [{ type: 'oauth', ...ENDPOINT, tokenEndpoint: 7 }, 'validation_error', 'auth.tokenEndpoint must be a string'],
    [{ type: 'oauth', accessToken: 'a', expiresAt: '2026-03-01' }, 'validation_error', DATE],
    [{ type: 'oauth', accessToken: 'a', expiresAt: '2026-03-01T09:30:00' }, 'validation_error', DATE],
    [{ type: 'oauth', accessToken: 'a', expiresAt: '2026-02-29T09:30:00Z' }, 'validation_error', DATE],
    [{ type: 'oauth', accessToken: 'a', expiresAt: '2026-13-01T09:30:00Z' }, 'validation_error', DATE],
    [{ type: 'oauth', accessToken: 'a', expiresAt: 'tomorrow' }, 'validation_error', DATE],
    [{ type: 'oauth', accessToken: 'a', expiresAt: 1_772_357_400 }, 'validation_error', DATE],
    [{ type: 'oauth', accessToken: 'a', clientId: 7, expiresAt: 'soon' }, 'validation_error', `auth.clientId must be a string; ${DATE}`],
  ])('%j', (auth, code, message) => {
    expect(() => read(auth)).toThrow(expect.objectContaining({ code, message }));
  });

  test.each(['accessToken', 'refreshToken', 'clientId', 'clientSecret', 'tokenType', 'scope', 'resource'])('%s that is too long', name => {
    expect(() => read({ type: 'oauth', ...ENDPOINT, [name]: `${LONGEST}x` })).toThrow(expect.objectContaining({ code: 'validation_error', message: `auth.${name} must have at most 16384 characters` }));
    expect(read({ type: 'oauth', ...ENDPOINT, [name]: LONGEST }).auth).toHaveProperty(name, LONGEST);
  });

  test('token that is too long', () => {
    expect(() => read({ type: 'bearer', token: `${LONGEST}x` })).toThrow(expect.objectContaining({ code: 'validation_error', message: 'auth.token must have at most 16384 characters' }));
  });

  test('a message never repeats what was sent', () => {
    for (const auth of [{ type: 'planted-secret' }, { type: 'bearer', token: 'planted-secret\0' }, { type: 'oauth', ...ENDPOINT, tokenEndpoint: 'ftp://planted-secret' }, { type: 'oauth', accessToken: 'a', expiresAt: 'planted-secret' }, { type: 'oauth', ...ENDPOINT, tokenEndpointAuth: 'planted-secret' }])
      expect(() => read(auth)).toThrow(expect.objectContaining({ message: expect.not.stringContaining('planted-secret') }));
  });
});
