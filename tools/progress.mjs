import { CommandFailed } from './processes/commands.mjs';

const FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';
const QUIET_MS = 4_000;
const TAIL_LINES = 40;
const tty = process.stdout.isTTY === true && process.env.CI === undefined;
const colour = (code, text) => (tty && !process.env.NO_COLOR ? `\x1b[${code}m${text}\x1b[0m` : text);

/** @type {Map<symbol, { title: string, began: number }>} */
const active = new Map();
let ticker;

/**
 * Runs one step of a command and says so in one line: on a terminal while it runs, elsewhere when it is done, or after
 * a few seconds of silence. Steps may overlap.
 *
 * @template T
 * @param {string} title
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function step(title, work) {
  const id = Symbol(title);
  const began = performance.now();
  active.set(id, { title, began });
  if (tty) ticker ??= setInterval(drawActive, 100);
  const announce = tty ? undefined : setTimeout(() => console.log(`… ${title}`), QUIET_MS);
  try {
    const answer = await work();
    finish(id, announce, `${colour(32, '✓')} ${title} ${colour(2, seconds(began))}`);
    return answer;
  } catch (error) {
    finish(id, announce, `${colour(31, '✗')} ${title} ${colour(2, seconds(began))}`);
    throw error;
  }
}

/** A line of its own between the steps. */
export function note(text) {
  clearLine();
  console.log(text);
}

/** Prints why a command ends, with the end of what the failing program had to say. */
export function printFailure(error) {
  clearLine();
  if (error instanceof CommandFailed && error.output.trim()) {
    console.error(error.output.trimEnd().split('\n').slice(-TAIL_LINES).map(line => `  ${line}`).join('\n'));
  }
  console.error(colour(31, error.message));
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) console.error(`  because: ${cause.message}`);
}

function finish(id, announce, line) {
  clearTimeout(announce);
  active.delete(id);
  clearLine();
  console.log(line);
  if (active.size === 0) {
    clearInterval(ticker);
    ticker = undefined;
  }
}

function drawActive() {
  const frame = FRAMES[Math.floor(performance.now() / 100) % FRAMES.length];
  const titles = [...active.values()].map(({ title, began }) => `${title} ${seconds(began)}`).join(', ');
  process.stdout.write(`\r\x1b[2K${colour(36, frame)} ${titles.slice(0, (process.stdout.columns || 80) - 3)}`);
}

function clearLine() {
  if (tty) process.stdout.write('\r\x1b[2K');
}

const seconds = began => `${((performance.now() - began) / 1000).toFixed(1)} s`;
