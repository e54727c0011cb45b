import { validateSync } from 'class-validator';
import { GatehouseError } from '../errors/gatehouse-error.js';
import { type InputClass, type InputField, inputFields, isStrict } from './input-fields.js';

/** Where the parts of an HTTP request are found. `body` is an object already: its form is checked before its fields. */
export interface HttpInput {
  readonly path: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
}

interface Problem {
  readonly missing: boolean;
  readonly message: string;
}

/** A message is for a person, whatever a body is made of. */
const UNKNOWN_KEYS_TOLD = 10;
const UNKNOWN_KEY_TOLD = 100;

type Values = Readonly<Record<string, unknown>>;

/**
 * Reads an input that arrived as one object (over RPC).
 * @throws GatehouseError `invalid_request` when something required is missing, else `validation_error`; one message for all fields, in declaration order.
 */
export const parseInput = <T extends object>(type: InputClass<T>, value: unknown): T => {
  if (!isObject(value)) throw new GatehouseError('invalid_request', 'Request body must be a JSON object');
  return finish(readFields(type, field => own(value, field.name), Object.keys(value), ''));
};

/**
 * Reads an input from the parts of an HTTP request. Path and query fields are never taken from the body.
 * @throws like {@link parseInput}
 */
export const parseHttpInput = <T extends object>(type: InputClass<T>, { path, query, body }: HttpInput): T =>
  finish(
    readFields(
      type,
      field => (field.source === 'path' ? own(path, field.name) : field.source === 'query' ? fromQuery(field, own(query, field.name)) : own(body, field.name)),
      Object.keys(body),
      '',
      'body',
    ),
  );

const finish = <T extends object>({ instance, problems }: { instance: T; problems: Problem[] }): T => {
  if (problems.length === 0) return instance;
  const message = problems.map(problem => problem.message).join('; ');
  throw new GatehouseError(problems.some(({ missing }) => missing) ? 'invalid_request' : 'validation_error', message);
};

const readFields = <T extends object>(type: InputClass<T>, valueOf: (field: InputField) => unknown, keys: readonly string[], at: string, keysFrom?: 'body'): { instance: T; problems: Problem[] } => {
  const instance = new type();
  const prototype: object = type.prototype;
  const fields = inputFields(prototype);
  const problems = new Map<string, Problem[]>();

  for (const field of fields) {
    const value = normalise(field, valueOf(field));
    if (value === undefined) {
      if (field.required) problems.set(field.name, [{ missing: true, message: `${at}${field.name} is required` }]);
    } else if (field.source === 'query' && Array.isArray(value)) {
      problems.set(field.name, [{ missing: false, message: `${at}${field.name} must be given once` }]);
    } else if (field.source === 'path' && typeof value !== 'string') {
      problems.set(field.name, [{ missing: false, message: `${at}${field.name} must be a string` }]);
    } else if (field.nested !== undefined && value !== null) {
      const nested = readNested(field.nested, value, `${at}${field.name}`);
      if (nested.problems.length > 0) problems.set(field.name, nested.problems);
      Reflect.set(instance, field.name, nested.value);
    } else {
      Reflect.set(instance, field.name, value);
    }
  }

  for (const error of validateSync(instance, { forbidUnknownValues: false })) {
    const messages = Object.values(error.constraints ?? {});
    if (problems.has(error.property) || messages.length === 0) continue;
    const message = `${at}${messages[0]}`;
    // Also a part of a value can be missing: `files[0].content is required`.
    problems.set(error.property, [{ missing: message.endsWith(' is required'), message }]);
  }

  const found = fields.flatMap(({ name }) => problems.get(name) ?? []);
  if (isStrict(prototype)) {
    const known = new Set(fields.filter(({ source }) => keysFrom === undefined || source === keysFrom).map(({ name }) => name));
    const unknown = keys.filter(key => !known.has(key)).slice(0, UNKNOWN_KEYS_TOLD);
    for (const key of unknown) found.push({ missing: false, message: `${at}${key.slice(0, UNKNOWN_KEY_TOLD)} is not allowed` });
  }
  return { instance, problems: found };
};

type TypeOf = NonNullable<InputField['nested']>['typeOf'];

const readNested = ({ typeOf, itemsMax }: NonNullable<InputField['nested']>, value: unknown, at: string): { value: unknown; problems: Problem[] } => {
  if (itemsMax === undefined) return readObject(typeOf, value, at);
  // The rule beside the field says that it must be a list, and how long it may be.
  if (!Array.isArray(value) || value.length > itemsMax) return { value, problems: [] };
  const items = value.map((item: unknown, index) => readObject(typeOf, item, `${at}[${index}]`));
  return { value: items.map(item => item.value), problems: items.flatMap(item => item.problems) };
};

const readObject = (typeOf: TypeOf, value: unknown, at: string): { value: unknown; problems: Problem[] } => {
  if (!isObject(value)) return { value, problems: [{ missing: false, message: `${at} must be an object` }] };
  const { instance, problems } = readFields(typeOf(value), field => own(value, field.name), Object.keys(value), `${at}.`);
  return { value: instance, problems };
};

/** Undefined = not given. */
const normalise = (field: InputField, value: unknown): unknown => {
  if (value === undefined) return undefined;
  if (value === null) return field.nil === 'absent' ? undefined : null;
  if (typeof value !== 'string') return value;
  const text = field.trim ? value.trim() : value;
  if (field.blank === 'kept' || text !== '') return text;
  return field.blank === 'null' ? null : undefined;
};

const fromQuery = (field: InputField, value: unknown): unknown => (typeof value === 'string' && value !== '' && field.fromText !== undefined ? field.fromText(value) : value);

/** Only own properties: a field named like something every object inherits is not thereby given. */
const own = (values: Values, name: string): unknown => (Object.hasOwn(values, name) ? values[name] : undefined);

const isObject = (value: unknown): value is Values => typeof value === 'object' && value !== null && !Array.isArray(value);
