import { FromQuery, Optional } from './validation/input-fields.js';
import { IsInteger, IsText } from './validation/rules.js';

export const PAGE_LIMIT_DEFAULT = 20;

/** Query of a paged list. */
export class PageQuery {
  @Optional()
  @FromQuery()
  @IsInteger({ min: 1, max: 100 })
  limit?: number;

  /** Opaque; from `nextCursor` of the page before. */
  @Optional()
  @FromQuery()
  @IsText({ max: 1000 })
  cursor?: string;
}

/** One page of a list, newest first. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}
