import { createHash } from 'node:crypto';
import { GatehouseError, isUuid } from '@gatehouse/contracts';

/** Where the page after this one begins. */
export interface PageCursors<Position> {
  encode(position: Position): string;
  /**
   * @returns null for the first page
   * @throws GatehouseError `validation_error` for a text that is no cursor of this list with these filters.
   */
  decode(cursor: string | undefined): Position | null;
}

/** A row of a list that is newest first: no two share both. */
export interface CreatedPosition {
  readonly createdAt: Date;
  readonly id: string;
}

/** What a list is narrowed down to; part of what a cursor is good for. */
export type Filters = Readonly<Record<string, string | Readonly<Record<string, string>> | undefined>>;

/** Lists ordered by `createdAt`, then `id`, both descending. */
export const newestFirst = (list: string, filters: Filters): PageCursors<CreatedPosition> =>
  pageCursors(
    bindingOf(list, filters),
    ({ createdAt, id }) => [createdAt.getTime(), id],
    ([time, id]) => (isTime(time) && typeof id === 'string' && isUuid(id) ? { createdAt: new Date(time), id } : null),
  );

/** Lists ordered by one number, descending. */
export const highestFirst = (list: string, filters: Filters): PageCursors<number> =>
  pageCursors(
    bindingOf(list, filters),
    position => [position],
    ([position]) => (typeof position === 'number' && Number.isInteger(position) && position >= 0 && position <= 2_147_483_647 ? position : null),
  );

/** A cursor reveals nothing a caller has not seen and permits nothing, so it is bound to its list but not signed. */
const pageCursors = <Position>(binding: string, toParts: (position: Position) => readonly unknown[], fromParts: (parts: readonly unknown[]) => Position | null): PageCursors<Position> => {
  const encode = (position: Position): string => Buffer.from(JSON.stringify([binding, ...toParts(position)])).toString('base64url');
  return {
    encode,
    decode: cursor => {
      if (cursor === undefined) return null;
      const [givenBinding, ...parts] = partsOf(cursor);
      const position = givenBinding === binding ? fromParts(parts) : null;
      // Base64 and JSON have many spellings of one content; only ours is a cursor.
      if (position === null || encode(position) !== cursor) throw new GatehouseError('validation_error', 'cursor is not a cursor of this list');
      return position;
    },
  };
};

const partsOf = (cursor: string): readonly unknown[] => {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    return Array.isArray(value) ? value : [];
  } catch (_notJson) {
    return [];
  }
};

const bindingOf = (list: string, filters: Filters): string => createHash('sha256').update(JSON.stringify([list, sorted(filters)])).digest('base64url').slice(0, 16);

/** The same filters in any order are the same list. */
const sorted = (map: Filters): unknown[] =>
  Object.entries(map)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => [name, typeof value === 'object' ? sorted(value) : value]);

const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 253_402_300_800_000;
