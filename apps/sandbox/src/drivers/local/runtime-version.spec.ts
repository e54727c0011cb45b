import { expect, test } from '@jest/globals';
import { lacksFixes, parseRuntimeVersion } from './runtime-version.js';

test.each([
  ['runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\nspec: 1.0.2-dev', { name: 'runc', number: '1.1.5' }],
  ['crun version 1.21\ncommit: 10269840aa07fb7e6b7e1acff6198692d8ff5c88', { name: 'crun', number: '1.21' }],
  ['runsc version release-20240729.0\nspec: 1.1.0', { name: 'runsc', number: '20240729.0' }],
  ['', null],
  ['usage: something else', null],
])('reads the version from %j', (said, version) => {
  expect(parseRuntimeVersion(said)).toEqual(version);
});

test.each([
  ['1.1.5', true],
  ['1.2.99', true],
  ['1.3.5', true],
  ['1.3.6', false],
  ['1.3.10', false],
  ['1.4.0', false],
  ['2', false],
])('runc %s lacks fixes: %s', (number, lacks) => {
  expect(lacksFixes({ name: 'runc', number })).toBe(lacks);
  expect(lacksFixes({ name: 'crun', number })).toBe(false);
});
