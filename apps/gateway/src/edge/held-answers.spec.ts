import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, test } from '@jest/globals';
import { HeldAnswers } from './held-answers.js';

const MIB = 1_048_576;

test('large answers are held until their clients have taken them, and no more than there is room for', () => {
  const held = new HeldAnswers();
  const answers = Array.from({ length: 9 }, () => new EventEmitter());
  const hold = (characters: number, index: number): void => held.hold(characters, answers[index] as unknown as ServerResponse);
  for (let index = 0; index < 8; index++) hold(16 * MIB, index);
  for (let small = 0; small < 1_000; small++) hold(200_000, 8);
  expect(() => hold(MIB, 8)).toThrow('Too many large answers are being sent');
  answers[3]?.emit('close');
  hold(16 * MIB, 8);
  expect(() => hold(MIB, 3)).toThrow('Too many large answers are being sent');
});
