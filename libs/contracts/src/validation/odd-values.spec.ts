import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import * as contracts from '../index.js';
import { GatehouseError } from '../errors/gatehouse-error.js';
import { type InputClass, inputFields } from './input-fields.js';
import { parseHttpInput, parseInput } from './parse-input.js';

const classes = (Object.entries(contracts) as [string, unknown][]).filter((entry): entry is [string, InputClass<object>] => typeof entry[1] === 'function' && inputFields((entry[1] as { prototype?: object }).prototype ?? {}).length > 0);

const deep = (): unknown => {
  let value: unknown = [];
  for (let depth = 0; depth < 20_000; depth++) value = [value];
  return value;
};
/** JSON that breaks whoever takes it for a text, a number or a plain object. */
const ODD = [{ toString: 1, valueOf: 1 }, JSON.parse('{"__proto__": null}') as unknown, { length: 1e9 }, deep(), [{ toString: null }], { constructor: null }, { then: 1 }, '\ud800', '\0', 1e308, -0, true, [], {}];

describe.each(classes)('%s', (_name, type) => {
  const fields = inputFields(type.prototype as object).map(({ name }) => name);
  const refusedAtMost = (read: () => unknown): void => {
    try {
      read();
    } catch (error) {
      expect(error).toBeInstanceOf(GatehouseError);
      expect(['invalid_request', 'validation_error']).toContain((error as GatehouseError).code);
    }
  };

  test('reads or refuses any JSON in any field, and never breaks', () => {
    for (const field of fields) {
      for (const value of ODD) {
        for (const where of [{ [field]: value }, { [field]: [value] }, { [field]: { type: 'oauth', kind: 'basic', tokenEndpointAuth: value, username: value, refreshToken: 'r', param: value, name: value } }, { [field]: { kind: 'query', param: value } }, { [field]: [{ name: value, url: value }] }]) {
          refusedAtMost(() => parseInput(type, where));
          refusedAtMost(() => parseHttpInput(type, { path: {}, query: {}, body: where }));
        }
      }
    }
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...fields), fc.jsonValue()), value => refusedAtMost(() => parseInput(type, value))),
      { numRuns: 200 },
    );
  });
});
