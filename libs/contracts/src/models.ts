/** What one model costs, in micro-USD per million tokens. */
export interface ModelPrice {
  readonly input: number;
  readonly output: number;
  readonly cachedInput: number;
  readonly cacheWrite: number;
}

export interface ModelOffer {
  readonly aliases?: readonly string[];
  readonly price: ModelPrice;
}

const usd = (input: number, output: number, cachedInput = input / 10, cacheWrite = input * 1.25): ModelPrice => {
  const micro = (dollars: number): number => Math.round(dollars * 1e6);
  return { input: micro(input), output: micro(output), cachedInput: micro(cachedInput), cacheWrite: micro(cacheWrite) };
};

/**
 * Models an installation offers unless it configures its own table. `scripted` needs no provider: it runs lines that
 * start with `$ ` as commands, so everything can be shown without a key.
 */
export const DEFAULT_MODELS: Readonly<Record<string, ModelOffer>> = {
  'claude-sonnet-4-6': { aliases: ['sonnet'], price: usd(3, 15) },
  'claude-opus-4-6': { aliases: ['opus'], price: usd(5, 25) },
  'claude-haiku-4-5': { aliases: ['haiku'], price: usd(1, 5) },
  scripted: { price: usd(1, 2) },
};

export const DEFAULT_MODEL = 'claude-sonnet-4-6';

/** Every name an agent may give as its model: the models and their aliases. */
export const modelNames = (models: Readonly<Record<string, ModelOffer>>): ReadonlySet<string> =>
  new Set(Object.entries(models).flatMap(([name, { aliases = [] }]) => [name, ...aliases]));
