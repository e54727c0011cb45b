import { ValidateBy } from 'class-validator';
import { isAgentSlug } from '../ids.js';
import { parseUsd } from '../money.js';
import { type InputClass, refineField } from './input-fields.js';

/** What is wrong with a value, read after the field's name; null when nothing is. A text starting with `.` or `[` continues the field's path. */
export type Check = (value: unknown) => string | null;

/** A class-validator decorator from a check. */
export const Rule = (name: string, check: Check): PropertyDecorator =>
  ValidateBy({
    name,
    validator: {
      validate: (value: unknown) => check(value) === null,
      defaultMessage: args => {
        const problem = check(args?.value) ?? 'is not acceptable';
        return `${args?.property ?? ''}${/^[.[]/.test(problem) ? '' : ' '}${problem}`;
      },
    },
  });

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
    refineField(prototype, name, { nested: { type, itemsMax: maxItems } });
  };

/** An object of a class, read with all its own rules. */
export const IsInput =
  (type: () => InputClass<object>) =>
  (prototype: object, name: string): void =>
    refineField(prototype, name, { nested: { type } });

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
export const httpUrl: Check = value => {
  if (typeof value !== 'string') return 'must be a string';
  // The URL parser quietly drops control characters and blanks, and an empty user info with its @.
  if (value.length > 2048 || /[\u0000-\u0020\u007f]/.test(value) || !URL.canParse(value) || !/^https?:\/\/[^/]/i.test(value)) return 'must be an http or https URL';
  return /^https?:\/\/[^/?#]*@/i.test(value) ? 'must not contain user info' : null;
};
export const IsHttpUrl = () => Rule('httpUrl', httpUrl);
