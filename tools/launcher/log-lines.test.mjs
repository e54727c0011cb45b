import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { once } from 'node:events';
import { test } from 'node:test';
import { logFormatter, splitLines } from './log-lines.mjs';

const plain = logFormatter(['gateway', 'vault'], { colour: false });
const time = new Date(2026, 0, 2, 3, 4, 5).getTime();

test('a record becomes one line: who, when, level, message, fields', () => {
  const line = JSON.stringify({ level: 40, time, msg: 'slow answer', service: 'vault', instance: 'vault-1', requestId: 'req_1', path: '/v1/a b' });
  assert.equal(plain('vault', line), 'vault   03:04:05 warn  slow answer requestId=req_1 path="/v1/a b"');
});

test('an error shows its stack and its causes below', () => {
  const err = { type: 'Error', message: 'lost', stack: 'Error: lost\n    at x (y.ts:1)', cause: { message: 'ECONNRESET' } };
  assert.equal(
    plain('gateway', JSON.stringify({ level: 50, time, msg: 'request failed', err })),
    'gateway 03:04:05 error request failed\n    Error: lost\n    at x (y.ts:1)\n    because: ECONNRESET',
  );
});

test('what is no log record is shown as it is', () => {
  assert.equal(plain('vault', 'Segmentation fault'), 'vault   Segmentation fault');
  assert.equal(plain('vault', '{"half":'), 'vault   {"half":');
  assert.equal(plain('vault', '{"no":"level"}'), 'vault   {"no":"level"}');
});

test('raw passes lines on for a program to read', () => {
  const raw = logFormatter(['vault'], { colour: true, raw: true });
  assert.equal(raw('vault', '{"level":30}'), '{"level":30}');
});

test('lines are cut where they end, not where a chunk does', async () => {
  const lines = [];
  const stream = Readable.from(['on', 'e\ntwo\nthr', 'ee'], { objectMode: false });
  splitLines(stream, line => lines.push(line));
  await once(stream, 'end');
  assert.deepEqual(lines, ['one', 'two', 'three']);
});
