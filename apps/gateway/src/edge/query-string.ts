/** Marks a query that is not decodable; told to the caller at the stage where the route is looked at. */
export const MALFORMED_QUERY = Symbol('malformed query');

export type Query = Record<string, unknown> & { [MALFORMED_QUERY]?: true };

const BRACKETED = /^([^[\]]+)\[([^\]]*)\]$/;

/**
 * Reads a query text: `a=1&b=2` as texts, a repeated name as an array (which no field accepts), `map[key]=value` as an
 * object. Never throws.
 */
export const parseQuery = (text: string): Query => {
  const query = Object.create(null) as Query;
  if (text === '') return query;
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    const name = decode(at < 0 ? pair : pair.slice(0, at));
    const value = decode(at < 0 ? '' : pair.slice(at + 1));
    if (name === undefined || value === undefined) {
      query[MALFORMED_QUERY] = true;
      continue;
    }
    const bracketed = BRACKETED.exec(name);
    if (bracketed === null) add(query, name, value);
    else add(mapAt(query, bracketed[1] ?? ''), bracketed[2] ?? '', value);
  }
  return query;
};

const decode = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (_malformed) {
    return undefined;
  }
};

/** In place: a query may repeat one name thousands of times, before anybody has been asked for a credential. */
const add = (values: Record<string, unknown>, name: string, value: unknown): void => {
  const known = values[name];
  if (known === undefined) values[name] = value;
  else if (Array.isArray(known)) known.push(value);
  else values[name] = [known, value];
};

const mapAt = (query: Query, name: string): Record<string, unknown> => {
  const known = query[name];
  if (typeof known === 'object' && known !== null && !Array.isArray(known)) return known as Record<string, unknown>;
  const map = Object.create(null) as Record<string, unknown>;
  add(query, name, map);
  return map;
};
