import { expect, it } from '@jest/globals';
import { Deprecated } from './deprecated.decorator.js';
import { Requires } from './requires.decorator.js';

it('refuses to stand where another decorator would take its place', () => {
  const declare = (): unknown => {
    class Routes {
      @Requires('sandboxes:exec')
      @Deprecated('use exec')
      handle(): void {}
    }
    return Routes;
  };
  expect(declare).toThrow('handle: write @Deprecated(…) above @Requires(…)');
});
