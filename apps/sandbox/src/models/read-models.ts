import { type ModelOffer, type ModelPrice, parseUsd } from '@gatehouse/contracts';

const PRICE_FIELDS = ['input', 'output', 'cachedInput', 'cacheWrite'] as const satisfies readonly (keyof ModelPrice)[];

/**
 * Reads a table of models as an operator writes it, prices in USD per million tokens:
 * `{"my-model": {"aliases": ["sonnet"], "price": {"input": 3, "output": 15, "cachedInput": 0.3, "cacheWrite": 3.75}}}`.
 * @throws TypeError that names the model and the field.
 */
export const readModels = (json: string): Readonly<Record<string, ModelOffer>> => {
  const table = objectAt('the table of models', parseJson(json));
  const names = new Set<string>();
  const models = Object.entries(table).map(([name, offer]): [string, ModelOffer] => {
    const { aliases, price } = objectAt(name, offer);
    const read = { aliases: aliasesAt(name, aliases), price: priceAt(name, price) };
    for (const known of [name, ...read.aliases]) {
      if (names.has(known)) throw new TypeError(`${known} names two models`);
      names.add(known);
    }
    return [name, read];
  });
  if (models.length === 0) throw new TypeError('the table of models is empty');
  return Object.fromEntries(models);
};

const parseJson = (json: string): unknown => {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new TypeError('the table of models is not JSON', { cause: error });
  }
};

const objectAt = (where: string, value: unknown): Readonly<Record<string, unknown>> => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError(`${where} must be an object`);
  return value as Readonly<Record<string, unknown>>;
};

const aliasesAt = (name: string, value: unknown = []): string[] => {
  if (!Array.isArray(value) || !value.every((alias): alias is string => typeof alias === 'string' && alias !== '')) throw new TypeError(`${name}.aliases must be a list of names`);
  return value;
};

const priceAt = (name: string, value: unknown): ModelPrice => {
  const price = objectAt(`${name}.price`, value);
  const microUsd = (field: string): number => {
    const amount = parseUsd(price[field]);
    if (amount === null) throw new TypeError(`${name}.price.${field} must be USD per million tokens`);
    return Number(amount);
  };
  return Object.fromEntries(PRICE_FIELDS.map(field => [field, microUsd(field)])) as Record<keyof ModelPrice, number>;
};
