import { ValidateBy } from 'class-validator';
import { isAgentSlug, isUuid } from '../ids.js';
import { parseUsd } from '../money.js';
import { type InputClass, refineField, Required } from './input-fields.js';

/**
 * What is wrong with a value, read after the field's name; null when nothing is. A text starting with `.` or `[` continues the
 * field's path. `whole` is the object that has the field, for what only several fields together can tell.
 */
export type Check = (value: unknown, whole?: object) => string | null;

/** A class-validator decorator from a check. */
export const Rule = (name: string, check: Check): PropertyDecorator =>
  ValidateBy({
    name,
    validator: {
      validate: (value: unknown, args) => check(value, args?.object) === null,
      defaultMessage: args => {
        const problem = check(args?.value, args?.object) ?? 'is not acceptable';
        return `${args?.property ?? ''}${/^[.[]/.test(problem) ? '' : ' '}${problem}`;
      },
    },
  });

/** A rule of a text's content. What is no text it leaves to the rule of the type: every rule of a field is asked about every value. */
export const TextRule = (name: string, check: (text: string) => string | null): PropertyDecorator => Rule(name, value => (typeof value === 'string' ? check(value) : null));

const text =
  ({ min = 0, max }: { min?: number; max: number }): Check =>
  value => {
    if (typeof value !== 'string') return 'must be a string';
    // Neither Postgres nor an argument of a program can hold it.
    if (value.includes('\0')) return 'must not contain NUL';
    if (value.length < min) return min === 1 ? 'must not be empty' : `must have at least ${min} characters`;
    return value.length > max ? `must have at most ${max} characters` : null;
  };

/** A string; lengths in UTF-16 code units. */
export const IsText = (bounds: { min?: number; max: number }) => Rule('text', text(bounds));

/** An integer; in a query, its decimal digits. */
export const IsInteger =
  ({ min, max }: { min: number; max: number }) =>
  (prototype: object, name: string): void => {
    Rule('integer', value => (Number.isInteger(value) && (value as number) >= min && (value as number) <= max ? null : `must be an integer from ${min} to ${max}`))(prototype, name);
    refineField(prototype, name, { fromText: queryText => (/^-?\d{1,15}$/.test(queryText) ? Number(queryText) : queryText) });
  };

export const IsOneOf = (allowed: readonly string[]) => Rule('oneOf', value => (typeof value === 'string' && allowed.includes(value) ? null : `must be one of ${allowed.join(', ')}`));

/** 1-100 of `a-z`, `0-9`, `-`; no hyphen first or last. */
export const IsSlug = () =>
  Rule('slug', value => (typeof value === 'string' && isAgentSlug(value) ? null : 'must have 1 to 100 characters of a-z, 0-9 and hyphen, with no hyphen first or last'));

/** USD as JSON number or decimal string; kept as given, read with `parseUsd`. */
export const IsUsd = ({ positive = false } = {}) =>
  Rule('usd', value => {
    const microUsd = parseUsd(value);
    if (microUsd === null) return 'must be an amount in USD from 0 to 1000000000 with at most 6 decimals';
    return positive && microUsd === 0n ? 'must be greater than 0' : null;
  });

/** A list of texts with the same bounds each. */
export const IsTextList = ({ maxItems, ...bounds }: { maxItems: number; min?: number; max: number }) => Rule('textList', list(maxItems, text({ min: 1, ...bounds })));

/** A list of whatever `check` accepts. */
export const IsListOf = (maxItems: number, check: Check) => Rule('list', list(maxItems, check));

/** A list of objects of a class, read with all their own rules. */
export const IsListOfInputs =
  (maxItems: number, type: () => InputClass<object>) =>
  (prototype: object, name: string): void => {
    Rule('inputs', list(maxItems, () => null))(prototype, name);
    refineField(prototype, name, { nested: { typeOf: type, itemsMax: maxItems } });
  };

/** An object of a class, read with all its own rules. */
export const IsInput =
  (type: () => InputClass<object>) =>
  (prototype: object, name: string): void =>
    refineField(prototype, name, { nested: { typeOf: type } });

/** An object of one of several classes, told apart by its field `tag`. */
export const IsInputBy =
  (tag: string, types: Readonly<Record<string, InputClass<object>>>) =>
  (prototype: object, name: string): void => {
    const untold = taggedOnly(tag, Object.keys(types));
    const typeOf = (value: Readonly<Record<string, unknown>>): InputClass<object> => {
      const kind = Object.hasOwn(value, tag) ? value[tag] : undefined;
      return (typeof kind === 'string' && Object.hasOwn(types, kind) ? types[kind] : undefined) ?? untold;
    };
    // Objects are read with their own rules; only null, where the field may hold none, comes here unread.
    Rule('tagged', value => (value === null ? 'must be an object' : null))(prototype, name);
    refineField(prototype, name, { nested: { typeOf } });
  };

/** Says what is wrong with the tag where that leaves nothing else to read. */
const taggedOnly = (tag: string, kinds: readonly string[]): InputClass<object> => {
  class Tagged {}
  Required({ blank: 'missing' })(Tagged.prototype, tag);
  IsOneOf(kinds)(Tagged.prototype, tag);
  return Tagged;
};

/** Blanks outside ASCII are text like any other; what could end a header or a line is not. */
const CONTROL = /[\u0000-\u001f\u007f]/;

/** A text that goes into a header or a URL one day: no line breaks or other control characters in it. */
export const IsLine = (bounds: { min?: number; max: number }) =>
  Rule('line', value => text(bounds)(value) ?? (CONTROL.test(value as string) ? 'must not contain control characters' : null));

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/;

/** ISO 8601 with offset or `Z`. */
export const IsDateTime = () =>
  Rule('dateTime', value => (typeof value === 'string' && DATE_TIME.test(value) && isRealDate(value) ? null : 'must be an ISO 8601 date and time with an offset or Z'));

/** The engine lets the 30th of February be the 1st of March. */
const isRealDate = (value: string): boolean => {
  const [year, month, day] = value.slice(0, 10).split('-').map(Number) as [number, number, number];
  return !Number.isNaN(Date.parse(value)) && new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day;
};

/** A version 4 uuid, as ids of vaults and credentials are; any case. */
export const uuidV4Text: Check = value => (typeof value === 'string' && isUuid(value) && value[14] === '4' ? null : 'must be a version 4 uuid');

const list =
  (maxItems: number, check: Check): Check =>
  value => {
    if (!Array.isArray(value)) return 'must be an array';
    if (value.length > maxItems) return `must have at most ${maxItems} items`;
    for (const [index, item] of value.entries()) {
      const problem = check(item);
      if (problem !== null) return `[${index}]${/^[.[]/.test(problem) ? '' : ' '}${problem}`;
    }
    return null;
  };

/** A path in a sandbox: 1-4096 bytes of UTF-8, no NUL. */
export const path: Check = value => {
  if (typeof value !== 'string') return 'must be a string';
  if (value.includes('\0')) return 'must not contain NUL';
  const bytes = Buffer.byteLength(value);
  return bytes >= 1 && bytes <= 4096 ? null : 'must have 1 to 4096 bytes';
};
export const IsPath = () => Rule('path', path);

/** A bare `http` or `https` URL without user info. */
export const IsHttpUrl = ({ max = 2048 } = {}) => Rule('httpUrl', value => httpUrl(value, max));

const httpUrl = (value: unknown, max: number): string | null => {
  if (typeof value !== 'string') return 'must be a string';
  // The URL parser quietly drops control characters and blanks, and an empty user info with its @.
  if (value.length > max || /[\u0000-\u0020\u007f]/.test(value) || !URL.canParse(value) || !/^https?:\/\/[^/]/i.test(value)) return 'must be an http or https URL';
  return /^https?:\/\/[^/?#]*@/i.test(value) ? 'must not contain user info' : null;
};
