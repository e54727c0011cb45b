import { expect, it } from '@jest/globals';
import { gitRpc } from './git.js';

it('seals the token of a clone to the instance it is for', () => {
  expect(gitRpc.methods.clone.sealedFields).toEqual(['token']);
});
