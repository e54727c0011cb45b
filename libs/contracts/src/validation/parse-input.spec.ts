import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PutAgent } from '../agents.js';
import { GatehouseError } from '../errors/gatehouse-error.js';
import { CreateSandbox, ExecCommand, ListSandboxes } from '../sandboxes.js';
import type { InputClass } from './input-fields.js';
import { type HttpInput, parseHttpInput, parseInput } from './parse-input.js';

const problemOf = (work: () => unknown): { code: string; message: string } => {
  try {
    work();
  } catch (error) {
    if (error instanceof GatehouseError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('nothing was refused');
};
const http = <T extends object>(type: InputClass<T>, parts: Partial<HttpInput>): T => parseHttpInput(type, { path: {}, query: {}, body: {}, ...parts });
const exec = (body: Record<string, unknown>): ExecCommand => http(ExecCommand, { path: { id: 'sb' }, body });
const agent = (body: Record<string, unknown>): PutAgent => http(PutAgent, { path: { slug: 'a' }, body });

describe('required fields', () => {
  test.each([[{}], [{ command: null }], [{ command: '' }], [{ command: undefined }]])('%j lacks a command', body => {
    expect(problemOf(() => exec(body))).toEqual({ code: 'invalid_request', message: 'command is required' });
  });

  test('missing and wrong together are one message in the order of the fields, and a malformed request', () => {
    expect(problemOf(() => exec({ timeoutMs: 0, envs: [] }))).toEqual({
      code: 'invalid_request',
      message: 'command is required; envs must be an object; timeoutMs must be an integer from 1 to 600000',
    });
  });

  test('a present but wrong field alone is a validation error', () => {
    expect(problemOf(() => exec({ command: 7 }))).toEqual({ code: 'validation_error', message: 'command must be a string' });
  });
});

describe('optional fields', () => {
  test('null is absent', () => {
    expect(exec({ command: 'true', cwd: null, envs: null, timeoutMs: null })).toEqual({ id: 'sb', command: 'true' });
  });

  test('metadata takes no null, neither as a whole nor as a value', () => {
    expect(problemOf(() => http(CreateSandbox, { body: { agent: 'a', metadata: null } }))).toEqual({ code: 'validation_error', message: 'metadata must be an object' });
    expect(problemOf(() => http(CreateSandbox, { body: { agent: 'a', metadata: { k: null } } }))).toEqual({ code: 'validation_error', message: 'metadata["k"] must be a string' });
  });

  test('texts are trimmed where the API says so, and blank is absent', () => {
    expect(http(CreateSandbox, { body: { agent: 'a', externalUserId: '  u  ' } }).externalUserId).toBe('u');
    expect(http(CreateSandbox, { body: { agent: 'a', externalUserId: '   ' } }).externalUserId).toBeUndefined();
  });
});

describe('where fields come from', () => {
  test('the body cannot set a path or query field', () => {
    expect(http(ExecCommand, { path: { id: 'mine' }, query: {}, body: { command: 'true', id: 'theirs', agent: 'other' } })).toEqual({ id: 'mine', command: 'true' });
  });

  test('query texts become numbers, strictly', () => {
    expect(http(ListSandboxes, { query: { limit: '7' } }).limit).toBe(7);
    for (const limit of ['0', '101', '1.5', '1e1', ' 7', '0x7', 'seven', '99999999999999999999']) {
      expect(problemOf(() => http(ListSandboxes, { query: { limit } }))).toEqual({ code: 'validation_error', message: 'limit must be an integer from 1 to 100' });
    }
  });

  test('an empty query parameter is a missing one, a repeated one is refused', () => {
    expect(http(ListSandboxes, { query: { limit: '', cursor: '' } })).toEqual({});
    expect(problemOf(() => http(ListSandboxes, { query: { limit: ['1', '2'] } }))).toEqual({ code: 'validation_error', message: 'limit must be given once' });
  });

  test('inherited names are not given fields', () => {
    const polluted = JSON.parse('{"command":"true","__proto__":{"cwd":7}}') as Record<string, unknown>;
    expect(exec(polluted).cwd).toBeUndefined();
  });
});

describe('strict objects', () => {
  test.each([
    [{ colour: 'red' }, 'colour is not allowed'],
    [{ slug: 'other' }, 'slug is not allowed'],
    [{ sandbox: { colour: 'red' } }, 'sandbox.colour is not allowed'],
    [{ mcpServers: [{ name: 'a', url: 'https://h', colour: 1 }] }, 'mcpServers[0].colour is not allowed'],
    [{ systemPrompt: { type: 'preset', preset: 'claude_code', colour: 1 } }, 'systemPrompt.colour is not allowed'],
  ])('%j', (body, message) => {
    expect(problemOf(() => agent(body))).toEqual({ code: 'validation_error', message });
  });

  test.each([
    [{ mcpServers: [{ url: 'https://h' }] }, 'invalid_request', 'mcpServers[0].name is required'],
    [{ mcpServers: [{ name: 'a' }] }, 'invalid_request', 'mcpServers[0].url is required'],
    [{ mcpServers: [{ name: 'a', url: 'ftp://h' }] }, 'validation_error', 'mcpServers[0].url must be an http or https URL'],
    [{ mcpServers: [{ name: 'a', url: 'https://@h' }] }, 'validation_error', 'mcpServers[0].url must not contain user info'],
    [{ mcpServers: [{ name: 'a', url: 'https://h/\n' }] }, 'validation_error', 'mcpServers[0].url must be an http or https URL'],
    [{ mcpServers: [{ name: 'a', url: 'https://u:p@h' }] }, 'validation_error', 'mcpServers[0].url must not contain user info'],
    [{ mcpServers: [{ name: 'a', url: 'https://h' }, { name: ' a ', url: 'https://i' }] }, 'validation_error', 'mcpServers[1].name is used twice'],
    [{ mcpServers: [{ name: 'a__b', url: 'https://h' }] }, 'validation_error', 'mcpServers[0].name must not contain __'],
    [{ mcpServers: ['x'] }, 'validation_error', 'mcpServers[0] must be an object'],
    [{ mcpServers: {} }, 'validation_error', 'mcpServers must be an array'],
    [{ maxBudgetUsd: 0 }, 'validation_error', 'maxBudgetUsd must be greater than 0'],
    [{ vaultIds: ['x'] }, 'validation_error', 'vaultIds[0] must be a version 4 uuid'],
    [{ sandbox: { timeoutMs: 1 } }, 'validation_error', 'sandbox.timeoutMs must be an integer from 1000 to 86400000'],
    [{ sandbox: [] }, 'validation_error', 'sandbox must be an object'],
    [{ envs: { HTTP_PROXY: 'x' } }, 'validation_error', 'envs["HTTP_PROXY"] is set by the platform'],
    [{ envs: { gatehouse_x: 'x' } }, 'validation_error', 'envs["gatehouse_x"] is set by the platform'],
    [{ envs: { '1A': 'x' } }, 'validation_error', 'envs["1A"] is not a variable name'],
  ])('%j', (body, code, message) => {
    expect(problemOf(() => agent(body))).toEqual({ code, message });
  });
});

describe('lists of files', () => {
  test.each([
    [[{ path: 'a' }], 'invalid_request', 'files[0].content is required'],
    [[{ content: 'a' }], 'invalid_request', 'files[0].path is required'],
    [[{ path: '', content: 'a' }], 'invalid_request', 'files[0].path is required'],
    [[{ path: 'a', content: 7 }], 'validation_error', 'files[0].content must be a string'],
    [{ a: null }, 'validation_error', 'files["a"] must be a string'],
  ])('%j', (files, code, message) => {
    expect(problemOf(() => http(CreateSandbox, { body: { agent: 'a', files } }))).toEqual({ code, message });
  });
});

describe('network lists', () => {
  const read = (entry: string): string | null => {
    try {
      http(CreateSandbox, { body: { agent: 'a', networkDenyOut: [entry] } });
      return null;
    } catch (error) {
      return (error as Error).message;
    }
  };
  test.each(['example.com', '*.example.com', 'example.com.', 'localhost', 'a_b.example', '10.0.0.1', '10.0.0.0/8', '::1', 'fe80::/10', '2001:db8::1'])('%s is a target', entry => expect(read(entry)).toBeNull());
  test.each(['999.1.1.1/777', '::::', '1.2.3.4/99', '1.2.3.4/8/8', '1.2.3', 'a..b', '*', '*.*.com', 'http://a', 'a b', 'a/8'])('%s is none', entry => expect(read(entry)).toMatch(/^networkDenyOut\[0\] must be a host/));
});

test('no body, however odd, throws anything but an error of the contract', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom('agent', 'files', 'envs', 'setup', 'timeoutMs', 'metadata', 'networkAllowOut', 'externalUserId', '__proto__', 'other'), fc.jsonValue()), body => {
      try {
        http(CreateSandbox, { body });
      } catch (error) {
        expect(error).toBeInstanceOf(GatehouseError);
        expect(['invalid_request', 'validation_error']).toContain((error as GatehouseError).code);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('what was read once reads the same again: the service parses what the gateway parsed', () => {
  const once = http(CreateSandbox, { body: { agent: 'a', files: { '/a': 'b' }, envs: { A: 'b' }, metadata: { k: 'v' }, externalUserId: ' u ' } });
  expect(parseInput(CreateSandbox, JSON.parse(JSON.stringify(once)))).toEqual(once);
});
