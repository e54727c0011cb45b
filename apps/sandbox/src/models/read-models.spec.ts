import { describe, expect, it } from '@jest/globals';
import { readModels } from './read-models.js';

const price = { input: 3, output: '15', cachedInput: 0.3, cacheWrite: 3.75 };

describe('readModels', () => {
  it('reads dollars per million tokens as micro-dollars', () => {
    expect(readModels(JSON.stringify({ big: { aliases: ['opus'], price } }))).toEqual({
      big: { aliases: ['opus'], price: { input: 3_000_000, output: 15_000_000, cachedInput: 300_000, cacheWrite: 3_750_000 } },
    });
  });

  it.each([
    ['not JSON', '{', 'the table of models is not JSON'],
    ['a list', '[]', 'the table of models must be an object'],
    ['nothing', '{}', 'the table of models is empty'],
    ['a model without a price', '{"big": {}}', 'big.price must be an object'],
    ['a price that lacks a part', JSON.stringify({ big: { price: { ...price, output: undefined } } }), 'big.price.output must be USD per million tokens'],
    ['a negative price', JSON.stringify({ big: { price: { ...price, input: -1 } } }), 'big.price.input must be USD per million tokens'],
    ['an alias that is another model', JSON.stringify({ big: { price }, small: { aliases: ['big'], price } }), 'big names two models'],
  ])('refuses %s', (_what, json, problem) => {
    expect(() => readModels(json)).toThrow(problem);
  });
});
