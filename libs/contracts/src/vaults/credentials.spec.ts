import { describe, expect, test } from '@jest/globals';
import { parseHttpInput } from '../validation/parse-input.js';
import { CreateCredential, DeleteCredential, UpdateCredential } from './credentials.js';

const ID = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
const path = { vaultId: ID, credentialId: ID };
const WHOLE = { serverUrl: 'https://h.example/', auth: { type: 'bearer', token: 't' } };
const create = (body: object): CreateCredential => parseHttpInput(CreateCredential, { path: { vaultId: ID }, query: {}, body: { ...body } });
const update = (body: object): UpdateCredential => parseHttpInput(UpdateCredential, { path, query: {}, body: { ...body } });

describe('a new credential', () => {
  test.each<[string, object, object]>([
    ['needs an address and a secret', WHOLE, WHOLE],
    ['keeps its address as it was spelt, trimmed', { ...WHOLE, serverUrl: ' https://H.example/x/ ' }, { ...WHOLE, serverUrl: 'https://H.example/x/' }],
    ['has a trimmed name', { ...WHOLE, name: ' Linear ' }, { ...WHOLE, name: 'Linear' }],
    ['has no name when it is blank', { ...WHOLE, name: '  ' }, { ...WHOLE, name: null }],
    ['has no name when it is null', { ...WHOLE, name: null }, { ...WHOLE, name: null }],
    ['has metadata', { ...WHOLE, metadata: { k: 'v' } }, { ...WHOLE, metadata: { k: 'v' } }],
    ['has no other fields', { ...WHOLE, id: 'x', vaultId: 'theirs', status: 'archived', lastError: 'x' }, WHOLE],
  ])('%s', (_what, body, kept) => {
    expect(create(body)).toEqual({ vaultId: ID, ...kept });
  });

  test.each<[object, string, string]>([
    [{}, 'invalid_request', 'serverUrl is required; auth is required'],
    [{ ...WHOLE, serverUrl: null }, 'invalid_request', 'serverUrl is required'],
    [{ ...WHOLE, serverUrl: '' }, 'invalid_request', 'serverUrl is required'],
    [{ ...WHOLE, serverUrl: '  ' }, 'invalid_request', 'serverUrl is required'],
    [{ ...WHOLE, serverUrl: 7 }, 'validation_error', 'serverUrl must be a string'],
    [{ ...WHOLE, serverUrl: 'https://planted:secret@h/' }, 'validation_error', 'serverUrl must not contain user info'],
    [{ ...WHOLE, name: 'x'.repeat(201) }, 'validation_error', 'name must have at most 200 characters'],
    [{ ...WHOLE, name: 7 }, 'validation_error', 'name must be a string'],
    [{ ...WHOLE, name: 'a\0' }, 'validation_error', 'name must not contain NUL'],
    [{ ...WHOLE, metadata: null }, 'validation_error', 'metadata must be an object'],
    [{ ...WHOLE, metadata: { k: null } }, 'validation_error', 'metadata["k"] must be a string'],
    [{ name: 7, serverUrl: 'x', auth: {}, inject: { kind: 'header' }, metadata: [] }, 'invalid_request', 'name must be a string; serverUrl must be an http or https URL; auth.type is required; inject.header is required; metadata must be an object'],
    [{ name: 7, serverUrl: 'ftp://h/', auth: { type: 'x' }, inject: { kind: 'x' }, metadata: 7 }, 'validation_error', 'name must be a string; serverUrl must be an http or https URL; auth.type must be one of bearer, oauth; inject.kind must be one of header, query, basic; metadata must be an object'],
    [{ serverUrl: 'ftp://h/' }, 'invalid_request', 'serverUrl must be an http or https URL; auth is required'],
  ])('%j is refused', (body, code, message) => {
    expect(() => create(body)).toThrow(expect.objectContaining({ code, message }));
  });

  test('its address may have as many characters as the limit, blanks around it aside', () => {
    const serverUrl = `https://h/${'x'.repeat(2_038)}`;
    expect(create({ ...WHOLE, serverUrl: `  ${serverUrl}  ` }).serverUrl).toBe(serverUrl);
    expect(() => create({ ...WHOLE, serverUrl: `${serverUrl}x` })).toThrow(expect.objectContaining({ code: 'validation_error', message: 'serverUrl must have at most 2048 characters' }));
  });
});

describe('a changed credential', () => {
  test.each<[string, object, object]>([
    ['nothing', {}, {}],
    ['no name', { name: null }, { name: null }],
    ['a blank name is none', { name: ' ' }, { name: null }],
    ['the default rule', { inject: null }, { inject: null }],
    ['another rule', { inject: { kind: 'basic' } }, { inject: { kind: 'basic' } }],
    ['another secret', { auth: { type: 'bearer', token: ' t ' } }, { auth: { type: 'bearer', token: 't' } }],
    ['another spelling', { serverUrl: ' HTTPS://h/ ' }, { serverUrl: 'HTTPS://h/' }],
    ['no metadata', { metadata: {} }, { metadata: {} }],
  ])('%s', (_what, body, kept) => {
    expect(update(body)).toEqual({ ...path, ...kept });
  });

  test.each<[object, string, string]>([
    [{ metadata: null }, 'validation_error', 'metadata must be an object'],
    [{ auth: null }, 'validation_error', 'auth must be an object'],
    [{ auth: {} }, 'invalid_request', 'auth.type is required'],
    [{ auth: { type: 'bearer' } }, 'invalid_request', 'auth.token is required'],
    [{ serverUrl: null }, 'validation_error', 'serverUrl must be a string'],
    [{ serverUrl: ' ' }, 'validation_error', 'serverUrl must be an http or https URL'],
    [{ inject: [] }, 'validation_error', 'inject must be an object'],
    [{ inject: {} }, 'invalid_request', 'inject.kind is required'],
    [{ name: 7, serverUrl: null, auth: null, inject: 7, metadata: null }, 'validation_error', 'name must be a string; serverUrl must be a string; auth must be an object; inject must be an object; metadata must be an object'],
  ])('%j is refused', (body, code, message) => {
    expect(() => update(body)).toThrow(expect.objectContaining({ code, message }));
  });
});

test('force is of the query, exactly true or false', () => {
  const read = (query: object, body: object = {}): DeleteCredential => parseHttpInput(DeleteCredential, { path, query: { ...query }, body: { ...body } });
  expect(read({ force: 'true' })).toEqual({ ...path, force: 'true' });
  expect(read({ force: '' }, { force: 'true' })).toEqual(path);
  for (const force of ['maybe', 'TRUE', '1', ' true']) expect(() => read({ force })).toThrow(expect.objectContaining({ code: 'validation_error', message: 'force must be one of true, false' }));
  expect(() => read({ force: ['true', 'true'] })).toThrow(expect.objectContaining({ code: 'validation_error', message: 'force must be given once' }));
});
