import { cleanEnv, makeValidator, type CleanedEnv, EnvError, EnvMissingError } from 'envalid';

/** One specification per variable; types of the result follow. Units and bounds stand in the variable's name. */
export type ConfigSpecs = Parameters<typeof cleanEnv>[1];

/** Everything a process needs that was missing or wrong, in one message. Values are never shown: any of them may be a secret. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly problems: readonly string[]) {
    super(`This configuration cannot be used:\n${problems.map(problem => `  - ${problem}`).join('\n')}`);
  }
}

/**
 * Reads a process's whole configuration, before it listens to anything.
 * @throws ConfigError naming every variable that is missing or wrong.
 */
export const readConfig = <const Specs extends ConfigSpecs>(environment: NodeJS.ProcessEnv, specs: Specs): CleanedEnv<Specs> =>
  cleanEnv(environment, specs, {
    reporter: ({ errors }) => {
      const problems = Object.entries(errors).map(([name, error]) => `${name} ${error instanceof EnvMissingError ? `is required: ${describe(specs, name)}` : `is not acceptable: ${error instanceof EnvError ? error.message : describe(specs, name)}`}`);
      if (problems.length > 0) throw new ConfigError(problems);
    },
  });

const describe = (specs: ConfigSpecs, name: string): string => (specs as Record<string, { desc?: string }>)[name]?.desc ?? 'see .env.example';

const refuse = (problem: string): never => {
  throw new EnvError(problem);
};

/** An integer within bounds. */
export const integer = ({ min, max }: { min: number; max: number }) =>
  makeValidator<number>(text => (/^-?\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max ? Number(text) : refuse(`must be an integer from ${min} to ${max}`)));

/** A non-empty text. */
export const text = makeValidator<string>(value => (value.trim() === '' ? refuse('must not be empty') : value));

/** A text of a given form, which `form` says in words. */
export const textLike = (pattern: RegExp, form: string) => makeValidator<string>(value => (pattern.test(value) ? value : refuse(`must be ${form}`)));

export const oneOf = <const Choice extends string>(...choices: Choice[]) => makeValidator<Choice>(value => choices.find(choice => choice === value) ?? refuse(`must be one of ${choices.join(', ')}`));

export const flag = makeValidator<boolean>(value => (value === 'true' ? true : value === 'false' ? false : refuse('must be true or false')));

/** A URL of one of the given schemes. May hold a password. */
export const urlOf = (...schemes: string[]) =>
  makeValidator<string>(value => (URL.canParse(value) && schemes.some(scheme => value.startsWith(`${scheme}://`)) ? value : refuse(`must be a URL starting ${schemes.map(scheme => `${scheme}://`).join(' or ')}`)));

/** Exactly 32 bytes of key material as base64. */
export const key256 = makeValidator<Buffer>(value => {
  const bytes = Buffer.from(value, 'base64');
  return bytes.length === 32 && /^[A-Za-z0-9+/_=-]+$/.test(value) ? bytes : refuse('must be 32 bytes in base64 (openssl rand -base64 32)');
});

/** Texts separated by commas; empty = none. */
export const list = makeValidator<string[]>(value =>
  value
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== ''),
);

/** Any reader of a text: what it throws becomes the problem, so it must not repeat the value. */
export const read = <T>(reader: (value: string) => T) => {
  const validator = makeValidator<T & object>(value => {
    try {
      return reader(value) as T & object;
    } catch (error) {
      return refuse(error instanceof Error ? error.message : 'is not readable');
    }
  });
  return validator;
};

/** What every process reads. */
export const commonConfig = {
  NODE_ENV: oneOf('development', 'test', 'production')({ default: 'production', desc: 'development, test or production' }),
  LOG_LEVEL: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal')({ default: 'info', desc: 'least severe level that is logged' }),
  REDIS_URL: urlOf('redis', 'rediss')({ desc: 'Redis of this installation, redis://…' }),
  GATEHOUSE_TRANSPORT_KEY: key256({ desc: '32 bytes in base64, the same for all processes of an installation; protects secrets between them' }),
  REDIS_NAMESPACE: text({ default: 'gatehouse', desc: 'first part of every Redis key and channel; two installations can share a Redis under two names' }),
  INSTANCE_ID: text({ default: undefined, desc: 'name of this instance, unique per service' }),
};

/** What every process with tables reads too. */
export const databaseConfig = {
  DATABASE_URL: urlOf('postgresql', 'postgres')({ desc: 'Postgres of this installation, postgresql://…' }),
  DATABASE_CONNECTIONS_MAX: integer({ min: 1, max: 500 })({ default: 10, desc: 'connections this process may open' }),
};
