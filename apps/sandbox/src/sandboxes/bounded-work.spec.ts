import { expect, test } from '@jest/globals';
import { expectError } from '@gatehouse/testing';
import { BoundedWork } from './bounded-work.js';

const stage = () => {
  const ends: (() => void)[] = [];
  const commands = new BoundedWork({ nodeMax: 5, teamMax: 3 }, 'Too many commands are running');
  const start = (teamId: string): Promise<void> => commands.run(teamId, () => new Promise(resolve => ends.push(() => resolve())));
  return { ends, start };
};

test('a team has its own bound, the node another, and each end makes room', async () => {
  const { ends, start } = stage();
  const running = [start('a'), start('a'), start('a')];
  expect(await expectError(start('a'), 'sandbox_error')).toMatchObject({ status: 503, retryAfter: 1, message: 'Too many commands are running' });
  running.push(start('b'), start('b'));
  await expectError(start('c'), 'sandbox_error');

  ends[0]?.();
  await running[0];
  running.push(start('c'));
  await expectError(start('a'), 'sandbox_error');
  for (const end of ends) end();
  await Promise.all(running);
  const again = start('a');
  ends.at(-1)?.();
  await again;
});

test('a command that fails makes room too', async () => {
  const commands = new BoundedWork({ nodeMax: 1, teamMax: 1 }, 'Too many commands are running');
  for (let time = 0; time < 3; time++) await expect(commands.run('a', () => Promise.reject(new Error('on purpose')))).rejects.toThrow('on purpose');
  expect(await commands.run('a', async () => 'done')).toBe('done');
});
