import { describe, expect, test } from '@jest/globals';
import { GatehouseError } from './errors/gatehouse-error.js';
import { decodeLength, encodeLength, FileRef, ListFiles, MakeDirectory, ReadFile, ReceiveUpload, RenameFile, SendDownload, UploadFile, WriteFile, WriteFiles } from './files.js';
import type { InputClass } from './validation/input-fields.js';
import { parseHttpInput, parseInput } from './validation/parse-input.js';

const outcome = (read: () => object): unknown => {
  try {
    return { ...read() };
  } catch (error) {
    if (error instanceof GatehouseError) return [error.code, error.message];
    throw error;
  }
};
const inBody = (type: InputClass<object>, body: Record<string, unknown>): unknown => outcome(() => parseHttpInput(type, { path: { id: 's' }, query: {}, body }));
const inQuery = (type: InputClass<object>, query: Record<string, unknown>, body: Record<string, unknown> = {}): unknown => outcome(() => parseHttpInput(type, { path: { id: 's' }, query, body }));
const id = 's';
const PATH_BYTES = 'must have 1 to 4096 bytes';

test.each([
  [0, '0000000000000000'],
  [258, '0000000000000102'],
  [Number.MAX_SAFE_INTEGER, '001fffffffffffff'],
])('the length %d is eight bytes before a content, big-endian', (length, hex) => {
  expect(encodeLength(length).toString('hex')).toBe(hex);
  expect(decodeLength(Buffer.from(hex, 'hex'))).toBe(length);
});

test('a length that cannot be one is not written, and half a length is not read', () => {
  // Node's RangeError is of another realm than jest's.
  const rangeError = expect.objectContaining({ name: 'RangeError' });
  for (const length of [-1, 0.5, NaN]) expect(() => encodeLength(length)).toThrow(rangeError);
  expect(() => decodeLength(Buffer.alloc(7))).toThrow(rangeError);
});

describe('several files', () => {
  test.each<[Record<string, unknown>, unknown]>([
    [{ files: { 'a.txt': 'x', '/b': '' } }, { id, files: { 'a.txt': 'x', '/b': '' } }],
    [{ files: [{ path: 'a', content: 'x' }, { path: 'a', content: 'y' }], extra: 1 }, { id, files: [{ path: 'a', content: 'x' }, { path: 'a', content: 'y' }] }],
    [{ files: { a: 'x' }, path: '' }, { id, files: { a: 'x' } }],
    [{ files: { a: 'x' }, path: null }, { id, files: { a: 'x' } }],
    [{}, ['invalid_request', 'files is required']],
    [{ files: null }, ['invalid_request', 'files is required']],
    [{ files: {} }, ['validation_error', 'files must not be empty']],
    [{ files: [] }, ['validation_error', 'files must not be empty']],
    [{ files: 'a' }, ['validation_error', 'files must be an object or an array']],
    [{ files: 7 }, ['validation_error', 'files must be an object or an array']],
    [{ files: { a: 'x' }, path: 'b', content: 'y' }, ['validation_error', 'files must not be given together with path']],
    [{ files: { a: 'x' }, path: 7 }, ['validation_error', 'files must not be given together with path']],
    [{ files: { a: 7 } }, ['validation_error', 'files["a"] must be a string']],
    [{ files: { '': 'x' } }, ['validation_error', `files[""] path ${PATH_BYTES}`]],
    [{ files: { 'a\0': 'x' } }, ['validation_error', 'files["a\0"] path must not contain NUL']],
    [{ files: [{ path: 'a' }] }, ['invalid_request', 'files[0].content is required']],
    [{ files: [{ content: 'a' }] }, ['invalid_request', 'files[0].path is required']],
    [{ files: [{ path: 'a'.repeat(4097), content: '' }] }, ['validation_error', `files[0].path ${PATH_BYTES}`]],
    [{ files: Array.from({ length: 1001 }, () => ({ path: 'a', content: '' })) }, ['validation_error', 'files must have at most 1000 entries']],
  ])('%j', (body, expected) => expect(inBody(WriteFiles, body)).toEqual(expected));
});

describe('one file', () => {
  test.each<[Record<string, unknown>, unknown]>([
    [{ path: 'a', content: '' }, { id, path: 'a', content: '' }],
    [{ path: 'a', content: 'nul \0 is content' }, { id, path: 'a', content: 'nul \0 is content' }],
    [{ path: 'ä'.repeat(2048), content: '' }, { id, path: 'ä'.repeat(2048), content: '' }],
    [{ path: 'a' }, ['invalid_request', 'content is required']],
    [{ path: 'a', content: null }, ['invalid_request', 'content is required']],
    [{ content: 'x' }, ['invalid_request', 'path is required']],
    [{ path: '', content: 'x' }, ['invalid_request', 'path is required']],
    [{ path: 'a', content: 7 }, ['validation_error', 'content must be a string']],
    [{ path: 7, content: 'x' }, ['validation_error', 'path must be a string']],
    [{ path: 'a\0', content: 'x' }, ['validation_error', 'path must not contain NUL']],
    [{ path: 'ä'.repeat(2049), content: '' }, ['validation_error', `path ${PATH_BYTES}`]],
  ])('%j', (body, expected) => expect(inBody(WriteFile, body)).toEqual(expected));
});

describe('queries', () => {
  test.each<[InputClass<object>, Record<string, unknown>, unknown]>([
    [UploadFile, { path: 'a', format: 'blob' }, { id, path: 'a', format: 'blob' }],
    [UploadFile, { path: 'a', format: 'stream', agent: 'demo' }, { id, agent: 'demo', path: 'a', format: 'stream' }],
    [UploadFile, { format: 'blob' }, ['invalid_request', 'path is required']],
    [UploadFile, { path: '', format: 'blob' }, ['invalid_request', 'path is required']],
    [UploadFile, { path: 'a', format: 'text' }, ['validation_error', 'format must be one of blob, stream']],
    [UploadFile, { path: ['a', 'b'], format: 'blob' }, ['validation_error', 'path must be given once']],
    [UploadFile, { path: 'a', format: ['blob', 'blob'] }, ['validation_error', 'format must be given once']],
    [UploadFile, { format: 'nope' }, ['invalid_request', 'path is required; format must be one of blob, stream']],
    [ReadFile, { path: 'a' }, { id, path: 'a' }],
    [ReadFile, { path: 'a', format: '' }, { id, path: 'a' }],
    [ReadFile, { path: 'a', format: 'text' }, { id, path: 'a', format: 'text' }],
    [ReadFile, { path: 'a', format: 'Blob' }, ['validation_error', 'format must be one of text, blob, stream']],
    [ReadFile, {}, ['invalid_request', 'path is required']],
    [FileRef, { path: 'a\0' }, ['validation_error', 'path must not contain NUL']],
    [ListFiles, { path: '/', depth: '0' }, { id, path: '/', depth: 0 }],
    [ListFiles, { path: '/', depth: '20' }, { id, path: '/', depth: 20 }],
    [ListFiles, { path: '/', depth: '' }, { id, path: '/' }],
    ...['21', '-1', '1.5', '1e1', 'x', ' 1', '0x1'].map((depth): [InputClass<object>, Record<string, unknown>, unknown] => [ListFiles, { path: '/', depth }, ['validation_error', 'depth must be an integer from 0 to 20']]),
  ])('%p %j', (type, query, expected) => expect(inQuery(type, query)).toEqual(expected));
});

test.each<[InputClass<object>, Record<string, unknown>, unknown]>([
  [MakeDirectory, { path: 'a' }, { id, path: 'a' }],
  [MakeDirectory, {}, ['invalid_request', 'path is required']],
  [MakeDirectory, { path: '' }, ['invalid_request', 'path is required']],
  [RenameFile, { oldPath: 'a', newPath: 'b' }, { id, oldPath: 'a', newPath: 'b' }],
  [RenameFile, {}, ['invalid_request', 'oldPath is required; newPath is required']],
  [RenameFile, { oldPath: '', newPath: 'b' }, ['invalid_request', 'oldPath is required']],
  [RenameFile, { oldPath: 'a', newPath: {} }, ['validation_error', 'newPath must be a string']],
])('%p %j', (type, body, expected) => expect(inBody(type, body)).toEqual(expected));

test('a body cannot name what the query names, and no request of the edge can name a stream', () => {
  expect(inQuery(UploadFile, { path: 'a', format: 'blob', stream: 'q' }, { path: 'b', format: 'stream', stream: 'b' })).toEqual({ id, path: 'a', format: 'blob' });
  expect(inQuery(ReadFile, { path: 'a', stream: 'q' }, { stream: 'b' })).toEqual({ id, path: 'a' });
  expect(outcome(() => parseInput(ReceiveUpload, { id, path: 'a', format: 'blob' }))).toEqual(['invalid_request', 'stream is required']);
  expect(outcome(() => parseInput(SendDownload, { id, path: 'a', format: 'blob', stream: 'r' }))).toEqual({ id, path: 'a', format: 'blob', stream: 'r' });
});
