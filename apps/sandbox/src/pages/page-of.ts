import type { Page } from '@gatehouse/contracts';

/** A page from one row more than it has room for: that row only tells that another page follows. */
export const pageOf = <Row, Item>(rows: readonly Row[], limit: number, view: (row: Row) => Item, cursorOf: (row: Row) => string): Page<Item> => {
  const shown = rows.slice(0, limit);
  const last = rows.length > shown.length ? shown.at(-1) : undefined;
  return { items: shown.map(view), nextCursor: last === undefined ? null : cursorOf(last) };
};

/** Like {@link pageOf}, of rows that may be large: the page ends early, before the first whose definition was left out. */
export const pageOfWhole = <Row extends { readonly definition: unknown }, Item>(
  rows: readonly Row[],
  limit: number,
  view: (row: Row & { readonly definition: NonNullable<Row['definition']> }) => Item,
  cursorOf: (row: Row) => string,
): Page<Item> => {
  const cut = rows.findIndex(({ definition }) => definition === null);
  const isWhole = (row: Row): row is Row & { readonly definition: NonNullable<Row['definition']> } => row.definition !== null;
  const { items, nextCursor } = pageOf(rows, cut < 0 ? limit : Math.min(cut, limit), row => row, cursorOf);
  return { items: items.filter(isWhole).map(view), nextCursor };
};
