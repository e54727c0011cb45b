import type { Page } from '@gatehouse/contracts';

/** A page from one row more than it has room for: that row only tells that another page follows. */
export const pageOf = <Row, Item>(rows: readonly Row[], limit: number, view: (row: Row) => Item, cursorOf: (row: Row) => string): Page<Item> => {
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return { items: shown.map(view), nextCursor: last === undefined ? null : cursorOf(last) };
};
