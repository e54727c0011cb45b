import { describe, expect, test } from '@jest/globals';
import { parseHttpInput, parseInput } from '../validation/parse-input.js';
import { CreateCredential } from './credentials.js';
import { DEFAULT_INJECT } from './inject-rule.js';

const read = (inject: unknown): CreateCredential => parseHttpInput(CreateCredential, { path: { vaultId: 'v' }, query: {}, body: { serverUrl: 'https://h.example/', auth: { type: 'bearer', token: 't' }, inject } });

test('the default is what most servers ask for', () => {
  expect(DEFAULT_INJECT).toEqual({ kind: 'header', header: 'Authorization', prefix: 'Bearer ' });
});

describe('a rule is kept', () => {
  test.each<[unknown, unknown]>([
    [undefined, undefined],
    [null, undefined],
    [DEFAULT_INJECT, DEFAULT_INJECT],
    [{ kind: 'header', header: '  X-Api-Key ' }, { kind: 'header', header: 'X-Api-Key' }],
    [{ kind: 'header', header: 'x', prefix: ' ' }, { kind: 'header', header: 'x', prefix: ' ' }],
    [{ kind: 'header', header: 'x', prefix: '' }, { kind: 'header', header: 'x', prefix: '' }],
    [{ kind: 'header', header: 'x', prefix: null }, { kind: 'header', header: 'x' }],
    [{ kind: 'header', header: 'x'.repeat(200), prefix: 'y'.repeat(200) }, { kind: 'header', header: 'x'.repeat(200), prefix: 'y'.repeat(200) }],
    [{ kind: 'header', header: "!#$%&'*+-.^_`|~" }, { kind: 'header', header: "!#$%&'*+-.^_`|~" }],
    [{ kind: 'query', param: ' api key ', header: 7 }, { kind: 'query', param: 'api key' }],
    [{ kind: 'query', param: '\u{1f511}' }, { kind: 'query', param: '\u{1f511}' }],
    [{ kind: 'query', param: 'x'.repeat(200) }, { kind: 'query', param: 'x'.repeat(200) }],
    [{ kind: 'basic' }, { kind: 'basic' }],
    [{ kind: 'basic', username: null }, { kind: 'basic' }],
    [{ kind: 'basic', username: ' u ' }, { kind: 'basic', username: ' u ' }],
    [{ kind: 'basic', username: '' }, { kind: 'basic', username: '' }],
  ])('%j', (inject, kept) => {
    const input = read(inject);
    expect(input.inject).toEqual(kept);
    expect(parseInput(CreateCredential, JSON.parse(JSON.stringify(input)))).toEqual(input);
  });
});

describe('a rule is refused', () => {
  const KIND = 'inject.kind must be one of header, query, basic';
  test.each<[unknown, string, string]>([
    ['header', 'validation_error', 'inject must be an object'],
    [[], 'validation_error', 'inject must be an object'],
    [{}, 'invalid_request', 'inject.kind is required'],
    [{ kind: '' }, 'invalid_request', 'inject.kind is required'],
    [{ kind: 'cookie' }, 'validation_error', KIND],
    [{ kind: 'HEADER', header: 'x' }, 'validation_error', KIND],
    [{ kind: '__proto__' }, 'validation_error', KIND],
    [{ kind: 7 }, 'validation_error', KIND],

    [{ kind: 'header' }, 'invalid_request', 'inject.header is required'],
    [{ kind: 'header', header: null }, 'invalid_request', 'inject.header is required'],
    [{ kind: 'header', header: '' }, 'validation_error', 'inject.header must be a header name'],
    [{ kind: 'header', header: '  ' }, 'validation_error', 'inject.header must be a header name'],
    [{ kind: 'header', header: 7 }, 'validation_error', 'inject.header must be a header name'],
    [{ kind: 'header', header: 'x'.repeat(201) }, 'validation_error', 'inject.header must have at most 200 characters'],
    [{ kind: 'header', header: 'X Key' }, 'validation_error', 'inject.header must be a header name'],
    [{ kind: 'header', header: 'X:Key' }, 'validation_error', 'inject.header must be a header name'],
    [{ kind: 'header', header: 'Schlüssel' }, 'validation_error', 'inject.header must be a header name'],
    [{ kind: 'header', header: 'x\r\ny' }, 'validation_error', 'inject.header must be a header name'],
    [{ kind: 'header', header: 'Host' }, 'validation_error', 'inject.header must not be a header that frames the request'],
    [{ kind: 'header', header: 'transfer-ENCODING' }, 'validation_error', 'inject.header must not be a header that frames the request'],
    [{ kind: 'header', header: 'x', prefix: 7 }, 'validation_error', 'inject.prefix must be a string'],
    [{ kind: 'header', header: 'x', prefix: 'y'.repeat(201) }, 'validation_error', 'inject.prefix must have at most 200 characters'],
    [{ kind: 'header', header: 'x', prefix: 'a\nb' }, 'validation_error', 'inject.prefix must not contain control characters'],
    [{ kind: 'header', prefix: 7 }, 'invalid_request', 'inject.header is required; inject.prefix must be a string'],
    [{ kind: 'header', header: 'x', prefix: '\ud800 ' }, 'validation_error', 'inject.prefix must not contain unpaired surrogates'],

    [{ kind: 'query' }, 'invalid_request', 'inject.param is required'],
    [{ kind: 'query', param: ' ' }, 'validation_error', 'inject.param must not be empty'],
    [{ kind: 'query', param: 7 }, 'validation_error', 'inject.param must be a string'],
    [{ kind: 'query', param: 'x'.repeat(201) }, 'validation_error', 'inject.param must have at most 200 characters'],
    [{ kind: 'query', param: '\udfff' }, 'validation_error', 'inject.param must not contain unpaired surrogates'],

    [{ kind: 'basic', username: '\ud800' }, 'validation_error', 'inject.username must not contain unpaired surrogates'],
    [{ kind: 'basic', username: 7 }, 'validation_error', 'inject.username must be a string'],
    [{ kind: 'basic', username: 'x'.repeat(201) }, 'validation_error', 'inject.username must have at most 200 characters'],
    [{ kind: 'basic', username: 'a:b' }, 'validation_error', 'inject.username must not contain a colon'],
    [{ kind: 'basic', username: 'a\nb' }, 'validation_error', 'inject.username must not contain control characters'],
  ])('%j', (inject, code, message) => {
    expect(() => read(inject)).toThrow(expect.objectContaining({ code, message }));
  });
});
