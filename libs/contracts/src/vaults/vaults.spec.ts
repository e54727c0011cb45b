import { describe, expect, test } from '@jest/globals';
import { CheckCoverage } from '../agents.js';
import { parseHttpInput, parseInput } from '../validation/parse-input.js';
import { CreateVault, DeleteVault, ListVaults, ResolveVaults, UpdateVault } from './vaults.js';

const ID = '3f1d2c4b-5a69-4788-9abc-def012345678';
const create = (body: object): CreateVault => parseHttpInput(CreateVault, { path: {}, query: {}, body: { ...body } });
const update = (body: object): UpdateVault => parseHttpInput(UpdateVault, { path: { vaultId: ID }, query: {}, body: { ...body } });
const check = (body: object): CheckCoverage => parseHttpInput(CheckCoverage, { path: { slug: 'a' }, query: {}, body: { ...body } });

describe('a new vault', () => {
  test.each<[object, object]>([
    [{ name: ' Team ' }, { name: 'Team' }],
    [{ name: 'a', description: '  ' }, { name: 'a', description: null }],
    [{ name: 'a', description: null }, { name: 'a', description: null }],
    [{ name: 'a', metadata: { external_user_id: 'u' } }, { name: 'a', metadata: { external_user_id: 'u' } }],
    [{ name: 'a', isDefault: true, status: 'archived', teamId: 'theirs', vaultId: ID }, { name: 'a' }],
  ])('%j', (body, kept) => {
    expect(create(body)).toEqual(kept);
  });

  test.each<[object, string, string]>([
    [{}, 'invalid_request', 'name is required'],
    [{ name: null }, 'invalid_request', 'name is required'],
    [{ name: '' }, 'validation_error', 'name must not be empty'],
    [{ name: '   ' }, 'validation_error', 'name must not be empty'],
    [{ name: 7 }, 'validation_error', 'name must be a string'],
    [{ name: 'a\0' }, 'validation_error', 'name must not contain NUL'],
    [{ name: 'a', description: [] }, 'validation_error', 'description must be a string'],
    [{ name: 'a', metadata: null }, 'validation_error', 'metadata must be an object'],
    [{ name: 'a', metadata: [] }, 'validation_error', 'metadata must be an object'],
    [{ name: 'a', metadata: { k: 7 } }, 'validation_error', 'metadata["k"] must be a string'],
    [{ name: 'a', metadata: { '': 'v' } }, 'validation_error', 'metadata[""] must have a key of 1 to 64 characters'],
    [{ name: ' ', description: 7, metadata: 7 }, 'validation_error', 'name must not be empty; description must be a string; metadata must be an object'],
    [{ description: 7, metadata: null }, 'invalid_request', 'name is required; description must be a string; metadata must be an object'],
  ])('%j is refused', (body, code, message) => {
    expect(() => create(body)).toThrow(expect.objectContaining({ code, message }));
  });
});

describe('a new vault as large as the limits', () => {
  const pairs = (count: number): object => Object.fromEntries(Array.from({ length: count }, (_unused, index) => [`k${index}`, '']));
  test.each<[field: string, most: object, more: object, message: string]>([
    ['name', { name: 'x'.repeat(200) }, { name: 'x'.repeat(201) }, 'name must have at most 200 characters'],
    ['description', { description: 'x'.repeat(500) }, { description: 'x'.repeat(501) }, 'description must have at most 500 characters'],
    ['pairs', { metadata: pairs(16) }, { metadata: pairs(17) }, 'metadata must have at most 16 pairs'],
    ['value', { metadata: { k: 'v'.repeat(512) } }, { metadata: { k: 'v'.repeat(513) } }, 'metadata["k"] must have at most 512 characters'],
    ['key', { metadata: { ['k'.repeat(64)]: 'v' } }, { metadata: { ['k'.repeat(65)]: 'v' } }, `metadata["${'k'.repeat(64)}…"] must have a key of 1 to 64 characters`],
  ])('%s', (_field, most, more, message) => {
    expect(create({ name: 'a', ...most })).toEqual({ name: 'a', ...most });
    expect(() => create({ name: 'a', ...more })).toThrow(expect.objectContaining({ code: 'validation_error', message }));
  });

  test('counts what is left after trimming', () => {
    expect(create({ name: ` ${'x'.repeat(200)} `, description: ` ${'x'.repeat(500)} ` })).toEqual({ name: 'x'.repeat(200), description: 'x'.repeat(500) });
  });
});

describe('a changed vault', () => {
  test.each<[object, object]>([
    [{}, {}],
    [{ name: ' b ' }, { name: 'b' }],
    [{ description: null }, { description: null }],
    [{ description: '' }, { description: null }],
    [{ metadata: {} }, { metadata: {} }],
  ])('%j', (body, kept) => {
    expect(update(body)).toEqual({ vaultId: ID, ...kept });
  });

  test.each<[object, string]>([
    [{ name: null }, 'name must be a string'],
    [{ name: ' ' }, 'name must not be empty'],
    [{ metadata: null }, 'metadata must be an object'],
    [{ metadata: { k: null } }, 'metadata["k"] must be a string'],
    [{ name: null, description: 7, metadata: null }, 'name must be a string; description must be a string; metadata must be an object'],
  ])('%j is refused', (body, message) => {
    expect(() => update(body)).toThrow(expect.objectContaining({ code: 'validation_error', message }));
  });
});

test('parameters of the query have few values, each given once', () => {
  const list = (status: unknown): ListVaults => parseHttpInput(ListVaults, { path: {}, query: { status }, body: { status: 'bad' } });
  const remove = (force: unknown): DeleteVault => parseHttpInput(DeleteVault, { path: { vaultId: ID }, query: { force }, body: { force: 'true' } });
  expect(list('archived')).toEqual({ status: 'archived' });
  expect(list('')).toEqual({});
  expect(remove('false')).toEqual({ vaultId: ID, force: 'false' });
  expect(remove('')).toEqual({ vaultId: ID });
  for (const [attempt, message] of [
    [() => list('bad'), 'status must be one of active, archived'],
    [() => list('Active'), 'status must be one of active, archived'],
    [() => list(['active', 'archived']), 'status must be given once'],
    [() => remove('maybe'), 'force must be one of true, false'],
    [() => remove(['true', 'true']), 'force must be given once'],
  ] as const) expect(attempt).toThrow(expect.objectContaining({ code: 'validation_error', message }));
});

describe('a look-up', () => {
  test('tells an empty list from none, and takes blank users for nobody', () => {
    expect(check({})).toEqual({ slug: 'a' });
    expect(check({ vaultIds: null, externalUserId: null })).toEqual({ slug: 'a' });
    expect(check({ vaultIds: [], externalUserId: '  ' })).toEqual({ slug: 'a', vaultIds: [] });
    expect(check({ vaultIds: [ID.toUpperCase()], externalUserId: ' u ' })).toEqual({ slug: 'a', vaultIds: [ID.toUpperCase()], externalUserId: 'u' });
  });

  test.each<[object, string]>([
    [{ vaultIds: ID }, 'vaultIds must be an array'],
    [{ vaultIds: [ID, 'x'] }, 'vaultIds[1] must be a version 4 uuid'],
    [{ vaultIds: [null] }, 'vaultIds[0] must be a version 4 uuid'],
    [{ vaultIds: ['01956f0e-2222-7aaa-8bbb-0c0c0c0c0c0c'] }, 'vaultIds[0] must be a version 4 uuid'],
    [{ vaultIds: Array.from({ length: 51 }, () => ID) }, 'vaultIds must have at most 50 items'],
    [{ externalUserId: 'x'.repeat(256) }, 'externalUserId must have at most 255 characters'],
    [{ externalUserId: 7 }, 'externalUserId must be a string'],
    [{ vaultIds: 7, externalUserId: 7 }, 'vaultIds must be an array; externalUserId must be a string'],
  ])('%j is refused', (body, message) => {
    expect(() => check(body)).toThrow(expect.objectContaining({ code: 'validation_error', message }));
  });

  test('reaches the vault service with the servers of the agent', () => {
    const whole = { vaultIds: [ID], externalUserId: 'u', agentVaultIds: [ID], servers: [{ name: 'linear', url: 'https://mcp.linear.app/mcp' }] };
    expect(parseInput(ResolveVaults, whole)).toEqual(whole);
    expect(() => parseInput(ResolveVaults, {})).toThrow(expect.objectContaining({ code: 'invalid_request', message: 'agentVaultIds is required; servers is required' }));
    const many = Array.from({ length: 51 }, () => ID);
    const message = 'vaultIds must have at most 50 items; agentVaultIds must have at most 50 items';
    expect(() => parseInput(ResolveVaults, { ...whole, vaultIds: many, agentVaultIds: many })).toThrow(expect.objectContaining({ code: 'validation_error', message }));
  });
});
