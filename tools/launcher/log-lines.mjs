const LEVELS = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' };
const LEVEL_COLOURS = { warn: 33, error: 31, fatal: 31, debug: 2, trace: 2 };
const APP_COLOURS = [36, 35, 34, 32, 33];
const KNOWN = new Set(['level', 'time', 'msg', 'service', 'instance', 'pid', 'hostname', 'err', 'v']);
const VALUE_MAX = 200;

/**
 * Makes log lines of several processes readable together: who, when, how bad, what, and the other fields as name=value.
 * What is no log line is shown as it is.
 *
 * @param {string[]} names of all processes, for width and colour
 * @param {{ colour: boolean, raw?: boolean }} options raw: the JSON as it came
 * @returns {(name: string, line: string) => string}
 */
export function logFormatter(names, { colour, raw = false }) {
  const paint = (code, text) => (colour && code ? `\x1b[${code}m${text}\x1b[0m` : text);
  const width = Math.max(...names.map(name => name.length));
  const prefix = name => paint(APP_COLOURS[names.indexOf(name) % APP_COLOURS.length], name.padEnd(width));

  return (name, line) => {
    if (raw) return line;
    const record = parseRecord(line);
    if (!record) return `${prefix(name)} ${line}`;
    const level = LEVELS[record.level] ?? String(record.level);
    const head = [prefix(name), paint(2, clock(record.time)), paint(LEVEL_COLOURS[level], level.padEnd(5)), record.msg ?? ''];
    const fields = Object.entries(record).filter(([key, value]) => !KNOWN.has(key) && value !== undefined);
    const tail = fields.map(([key, value]) => paint(2, `${key}=${shown(value)}`));
    return [...head, ...tail].join(' ').trimEnd() + stackOf(record.err, paint);
  };
}

/** Cuts a stream of chunks into lines; the last one counts when the stream ends without a newline. */
export function splitLines(stream, onLine) {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', chunk => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    for (const line of lines) if (line !== '') onLine(line);
  });
  stream.on('end', () => rest !== '' && onLine(rest));
}

function parseRecord(line) {
  if (!line.startsWith('{')) return undefined;
  try {
    const record = JSON.parse(line);
    return typeof record.level === 'number' ? record : undefined;
  } catch {
    return undefined;
  }
}

const clock = time => (typeof time === 'number' ? new Date(time).toTimeString().slice(0, 8) : '        ');

function shown(value) {
  const text = typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value);
  return text.length > VALUE_MAX ? `${text.slice(0, VALUE_MAX)}…` : text;
}

function stackOf(err, paint) {
  if (err === undefined || err === null) return '';
  const causes = [];
  for (let cause = err.cause; cause?.message; cause = cause.cause) causes.push(`because: ${cause.message}`);
  const text = [err.stack || err.message || JSON.stringify(err), ...causes].join('\n');
  return text.split('\n').map(line => `\n    ${paint(2, line.trim())}`).join('');
}
