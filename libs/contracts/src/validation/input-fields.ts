import 'reflect-metadata';
import { IsOptional, ValidateIf } from 'class-validator';

export type InputClass<T extends object> = new () => T;

/** Where the edge takes a field from. Over RPC all fields arrive side by side. */
export type FieldSource = 'path' | 'query' | 'body';

export interface InputField {
  readonly name: string;
  readonly required: boolean;
  source: FieldSource;
  /** Applied to strings before anything else is looked at. */
  readonly trim: boolean;
  /** What a blank string means. */
  readonly blank: 'kept' | 'missing' | 'absent' | 'null';
  /** What null means. For a required field it always means missing. */
  readonly nil: 'absent' | 'kept' | 'refused';
  /** How a query text becomes a value. */
  fromText?: (text: string) => unknown;
  /** How an object in it is read. `itemsMax`: it is a list of such objects; a longer one is refused unread. */
  nested?: { readonly typeOf: (value: Readonly<Record<string, unknown>>) => InputClass<object>; readonly itemsMax?: number };
}

const fieldsOf = new WeakMap<object, InputField[]>();
const strictTypes = new WeakSet<object>();

/** Fields of an input class in declaration order, those of its parents first. */
export const inputFields = (prototype: object): readonly InputField[] => {
  const parent: unknown = Object.getPrototypeOf(prototype);
  const inherited = typeof parent === 'object' && parent !== null && parent !== Object.prototype ? inputFields(parent) : [];
  const own = fieldsOf.get(prototype) ?? [];
  return inherited.length === 0 ? own : [...inherited.filter(field => !own.some(({ name }) => name === field.name)), ...own];
};

const changes = new WeakMap<object, Map<string, Partial<InputField>>>();

const addField = (prototype: object, field: InputField): void => {
  const fields = fieldsOf.get(prototype) ?? [];
  // Decorators of one field run bottom up, so its presence decorator, written first, runs last.
  fields.push(Object.assign(field, changes.get(prototype)?.get(field.name)));
  fieldsOf.set(prototype, fields);
};

/** Adds to what is known of a field from a decorator that stands under its presence decorator. */
export const refineField = (prototype: object, name: string, change: Partial<InputField>): void => {
  const known = changes.get(prototype) ?? new Map<string, Partial<InputField>>();
  known.set(name, { ...known.get(name), ...change });
  changes.set(prototype, known);
};

/** The field must be given: absent and null are missing, and so is a blank where `blank` says so. Write it first of a field's decorators. */
export const Required =
  ({ trim = false, blank = 'kept' }: { trim?: boolean; blank?: 'kept' | 'missing' } = {}) =>
  (prototype: object, name: string): void => {
    addField(prototype, { name, required: true, source: 'body', trim, blank, nil: 'absent' });
  };

/** The field may be left out. Write it first of a field's decorators. */
export const Optional =
  ({ trim = false, blank = 'kept', nil = 'absent' }: { trim?: boolean; blank?: InputField['blank']; nil?: InputField['nil'] } = {}) =>
  (prototype: object, name: string): void => {
    if (nil === 'refused') ValidateIf((_input, value) => value !== undefined)(prototype, name);
    else IsOptional()(prototype, name);
    addField(prototype, { name, required: false, source: 'body', trim, blank, nil });
  };

/** Taken from the path, where it is always a text. A malformed one is a missing resource, which the owner of the rows decides. */
export const FromPath =
  () =>
  (prototype: object, name: string): void => {
    addField(prototype, { name, required: true, source: 'path', trim: false, blank: 'kept', nil: 'absent' });
  };

/** Taken from the query; an empty parameter is a missing one. */
export const FromQuery =
  () =>
  (prototype: object, name: string): void =>
    refineField(prototype, name, { source: 'query', blank: 'absent' });

/** Unknown keys are refused instead of ignored. */
export const Strict = () => (type: { prototype: object }) => {
  strictTypes.add(type.prototype);
};
export const isStrict = (prototype: object): boolean => strictTypes.has(prototype);
