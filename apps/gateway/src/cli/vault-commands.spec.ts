import { describe, expect, test } from '@jest/globals';
import { type Caller, type KeyCounts, type KeyRotation, type keyRotationRpc, type RpcClient, unavailable } from '@gatehouse/contracts';
import { Writable } from 'node:stream';
import { rotateKeys } from './vault-commands.js';

const caller: Caller = { teamId: 't', keyId: 'k', scopes: [], userId: null, requestId: 'spec' };
const status = (changes: Partial<KeyRotation>): KeyRotation => ({ id: 'r1', keyId: 'new', state: 'done', error: null, rewrapped: 7, unreadable: 0, ...changes });
const allNew: KeyCounts = { currentKeyId: 'new', secretsByKey: { new: 7 } };

interface Told {
  readonly statuses?: (KeyRotation | null | Error)[];
  readonly counts?: KeyCounts;
  readonly json?: boolean;
}
const rotate = async ({ statuses = [status({})], counts = allNew, json = false }: Told): Promise<{ text: string; error: unknown; asked: string[] }> => {
  const asked: string[] = [];
  let text = '';
  const out = new Writable({ write: (chunk: Buffer, _encoding, done) => { text += chunk.toString(); done(); } });
  const rotation: RpcClient<typeof keyRotationRpc> = {
    start: async () => ({ id: 'r1', keyId: 'new' }),
    status: async (_caller, { id, keyId }) => {
      asked.push(`status ${id} ${keyId}`);
      const next = statuses.shift();
      if (next instanceof Error) throw next;
      return next ?? null;
    },
    counts: async () => {
      asked.push('counts');
      return counts;
    },
  };
  const error: unknown = await rotateKeys(rotation, caller, out, json).then(() => null, (thrown: unknown) => thrown);
  return { text, error, asked };
};

describe('watching a rotation', () => {
  test('follows the one it started, and counts once, at the end', async () => {
    const { text, error, asked } = await rotate({ statuses: [status({ state: 'waiting', rewrapped: 0 }), unavailable(), status({})] });
    expect(error).toBeNull();
    expect(asked).toEqual(['status r1 new', 'status r1 new', 'status r1 new', 'counts']);
    expect(text).toContain('7 secrets wrapped anew');
    expect(text).toMatch(/Every secret is under the current key/);
  });

  test.each([
    ['the process that answers has another current key', { counts: { currentKeyId: 'old', secretsByKey: { old: 0, new: 7 } } }, /has old as its current key, not new/],
    ['both are of an old process', { counts: { currentKeyId: 'old', secretsByKey: { old: 7 } } }, /has old as its current key, not new/],
    ['secrets are under another key', { counts: { currentKeyId: 'new', secretsByKey: { old: 2, new: 5 } } }, /2 secrets were written under others/],
    ['some cannot be read', { statuses: [status({ unreadable: 3 })] }, /3 secrets could not be read/],
    ['it failed', { statuses: [status({ state: 'failed', error: 'no luck' })] }, /failed: no luck/],
    ['it was lost', { statuses: [null] }, /not known any more/],
  ] satisfies [string, Told, RegExp][])('does not say that keys can be removed when %s', async (_when, told, problem) => {
    const { text, error } = await rotate(told);
    expect(text).not.toContain('can be removed');
    expect(String(error)).toMatch(problem);
  });

  test('prints one JSON object with the counts', async () => {
    const { text } = await rotate({ json: true });
    expect(JSON.parse(text)).toEqual({ ...status({}), ...allNew });
  });
});
