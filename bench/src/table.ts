/** Prints rows under their heads, numbers to the right, so that a person can compare them. */
export const printTable = (title: string, heads: readonly string[], rows: readonly (readonly string[])[]): void => {
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map(row => (row[column] ?? '').length)));
  const line = (cells: readonly string[]): string => cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ');
  process.stdout.write(`\n${title}\n${line(heads)}\n${widths.map(width => '-'.repeat(width)).join('  ')}\n${rows.map(line).join('\n')}\n`);
};

/** The value below which this share of the samples lies (nearest rank). */
export const percentile = (samples: readonly number[], share: number): number => {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
};

export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`;
export const perSecond = (value: number): string => `${Math.round(value).toLocaleString('en-US')}/s`;
export const megabytes = (bytesPerSecond: number): string => `${Math.round(bytesPerSecond / 1_000_000).toLocaleString('en-US')} MB/s`;
export const ratio = (value: number): string => value.toFixed(2);

/** A claim with the number it stands on. */
export const verdict = (claim: string, value: number, holds: boolean, shown: string): readonly string[] => [claim, shown, holds && !Number.isNaN(value) ? 'yes' : 'NO'];
