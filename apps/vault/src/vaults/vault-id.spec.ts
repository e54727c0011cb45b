import { expect, test } from '@jest/globals';
import { vaultIdOf } from './vault-id.js';

test('an id is read in any case; what cannot be one is a vault that does not exist', () => {
  expect(vaultIdOf('3F1D2C4B-5A69-4788-9ABC-DEF012345678')).toBe('3f1d2c4b-5a69-4788-9abc-def012345678');
  for (const text of ['', 'x', '3f1d2c4b5a6947889abcdef012345678', ' 3f1d2c4b-5a69-4788-9abc-def012345678']) expect(() => vaultIdOf(text)).toThrow(expect.objectContaining({ code: 'not_found', message: 'Vault not found' }));
});
