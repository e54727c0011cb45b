/** Money is an integer number of micro-USD everywhere inside; dollars exist only at the edge. */
export type MicroUsd = bigint;

const MICRO_USD_PER_USD = 1_000_000n;
const USD_MAX = 1_000_000_000n;
const DECIMAL = /^(\d{1,10})(?:\.(\d{1,6}))?$/;

/**
 * Reads dollars as a caller writes them: a JSON number or a decimal string, at most 6 decimals, no sign, no exponent,
 * at most 1000000000. Null when it is anything else.
 */
export const parseUsd = (value: unknown): MicroUsd | null => {
  const text = typeof value === 'number' ? decimalText(value) : value;
  const match = typeof text === 'string' ? DECIMAL.exec(text) : null;
  if (match === null) return null;
  const [, whole = '0', fraction = ''] = match;
  const microUsd = BigInt(whole) * MICRO_USD_PER_USD + BigInt(fraction.padEnd(6, '0'));
  return microUsd > USD_MAX * MICRO_USD_PER_USD ? null : microUsd;
};

/** JavaScript prints numbers under 1e-6 with an exponent, which are too fine for us anyway; everything else as plain decimals. */
const decimalText = (value: number): string => (Number.isFinite(value) ? String(value) : '');

/** For JSON. Exact for every amount the API accepts: 16 significant digits at most. */
export const toUsd = (microUsd: MicroUsd): number => Number(microUsd / MICRO_USD_PER_USD) + Number(microUsd % MICRO_USD_PER_USD) / 1e6;
