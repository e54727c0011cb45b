import { type KeyObject, createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { describe, expect, jest, test } from '@jest/globals';
import { uuidV4, uuidV7 } from '@gatehouse/contracts';
import fc from 'fast-check';
import { parseRunTokenPrivateKey, parseRunTokenPublicKeys } from './run-token-keys.js';
import { RunTokenInvalid, RunTokenSigner, RunTokenVerifier, type RunTokenClaims } from './run-token.js';

const NOW = 1_800_000_000_000;
const seconds = NOW / 1_000;
const newKey = (): KeyObject => parseRunTokenPrivateKey(randomBytes(32).toString('base64'));
const privateKey = newKey();
const signer = new RunTokenSigner(privateKey, () => NOW);
const claims: RunTokenClaims = { teamId: uuidV7(), keyId: uuidV7(), sandboxId: 'user-123', runId: uuidV7(), vaultIds: [uuidV4(), uuidV4()] };
const verifierAt = (clock: { now: number }, ...publicKeys: string[]) => new RunTokenVerifier(parseRunTokenPublicKeys(publicKeys.join()), { now: () => clock.now });
const verifier = verifierAt({ now: NOW }, signer.publicKey);

const partsOf = (token: string): { header: Record<string, unknown>; payload: Record<string, unknown> } => {
  const [header = '', payload = ''] = token.split('.').map(part => Buffer.from(part, 'base64url').toString());
  return { header: JSON.parse(header) as Record<string, unknown>, payload: JSON.parse(payload) as Record<string, unknown> };
};
const honest = partsOf(await signer.sign(claims, { lifetimeSeconds: 60 }));

/** Made by hand, so that a token can say what no signer would. `undefined` takes a member away. */
const forge = ({ header = {}, payload = {}, by = text => sign(null, text, privateKey) }: { header?: object; payload?: object | string; by?: (text: Buffer) => Buffer }): string => {
  const body = typeof payload === 'string' ? payload : JSON.stringify({ ...honest.payload, ...payload });
  const text = [JSON.stringify({ ...honest.header, ...header }), body].map(part => Buffer.from(part).toString('base64url')).join('.');
  return `${text}.${by(Buffer.from(text)).toString('base64url')}`;
};

const refusalOf = async (token: string, by = verifier): Promise<string> => {
  const error = await by.verify(token).then(
    () => new Error('accepted'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(RunTokenInvalid);
  expect((error as Error).cause).toBeUndefined();
  for (const part of token.split('.').filter(text => text.length > 3)) expect(String(error)).not.toContain(part);
  return (error as Error).message;
};

describe('run token', () => {
  test('gives back what was signed, and when it ends', async () => {
    const token = await signer.sign(claims, { lifetimeSeconds: 60 });
    expect(await verifier.verify(token)).toEqual({ ...claims, expiresAt: NOW + 60_000 });
    expect(honest).toEqual({
      header: { alg: 'EdDSA', kid: expect.stringMatching(/^[0-9a-f]{16}$/) },
      payload: { iss: 'gatehouse', aud: 'gatehouse-egress', sub: claims.runId, team: claims.teamId, key: claims.keyId, sandbox: 'user-123', vaults: claims.vaultIds, iat: seconds, exp: seconds + 60 },
    });
  });

  test('made by hand with the same key it is the same', async () => {
    expect(forge({})).toBe(await signer.sign(claims, { lifetimeSeconds: 60 }));
    expect(await verifier.verify(forge({}))).toMatchObject(claims);
  });

  test('gives ids in lower case, however they were written', async () => {
    const [teamId, keyId, runId] = [claims.teamId.toUpperCase(), claims.keyId.toUpperCase(), claims.runId.toUpperCase()];
    const token = await signer.sign({ ...claims, teamId, keyId, runId, sandboxId: 'User-123', vaultIds: claims.vaultIds.map(id => id.toUpperCase()) }, { lifetimeSeconds: 60 });
    expect(partsOf(token).payload).toMatchObject({ team: teamId });
    expect(await verifier.verify(token)).toEqual({ ...claims, sandboxId: 'User-123', expiresAt: NOW + 60_000 });
  });

  test('is signed from the text of a key', async () => {
    const own = RunTokenSigner.from(randomBytes(32).toString('base64'));
    const [none, many] = [[], Array.from({ length: 50 }, uuidV4)];
    for (const vaultIds of [none, many]) {
      const token = await own.sign({ ...claims, vaultIds }, { lifetimeSeconds: 60 });
      expect((await new RunTokenVerifier(parseRunTokenPublicKeys(own.publicKey)).verify(token)).vaultIds).toEqual(vaultIds);
    }
  });

  test.each<[what: string, changes: Partial<RunTokenClaims>, lifetimeSeconds?: number]>([
    ['51 vaults', { vaultIds: Array.from({ length: 51 }, uuidV4) }],
    ['a vault that has no id', { vaultIds: ['default'] }],
    ['a team that has no id', { teamId: '' }],
    ['no lifetime', {}, 0],
    ['a lifetime in fractions', {}, 1.5],
    ['no end', {}, Infinity],
  ])('is not signed for %s', async (_what, changes, lifetimeSeconds = 60) => {
    await expect(signer.sign({ ...claims, ...changes }, { lifetimeSeconds })).rejects.toThrow(TypeError);
  });
});

describe('a run token is refused', () => {
  const rawPublicKey = Buffer.from(signer.publicKey, 'base64');
  const hmac = (bits: 256 | 512, secret: Buffer | string) => (text: Buffer) => createHmac(`sha${bits}`, secret).update(text).digest();
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const stranger = newKey();

  test.each<[attack: string, token: string]>([
    ['no algorithm', forge({ header: { alg: 'none' }, by: () => Buffer.alloc(0) })],
    ['no algorithm, and the signature of another token', forge({ header: { alg: 'none' } })],
    ['an HMAC under the public key', forge({ header: { alg: 'HS256' }, by: hmac(256, rawPublicKey) })],
    ['an HMAC as long as a signature', forge({ header: { alg: 'HS512' }, by: hmac(512, rawPublicKey) })],
    ['an HMAC under the public key as text', forge({ header: { alg: 'HS512' }, by: hmac(512, signer.publicKey) })],
    ['a signature on another curve', forge({ header: { alg: 'ES256' }, by: text => sign('sha256', text, { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }) })],
    ['the same signature by another name', forge({ header: { alg: 'Ed25519' } })],
    ['the algorithm in other letters', forge({ header: { alg: 'eddsa' } })],
    ['no algorithm named', forge({ header: { alg: undefined } })],
  ])('with %s', async (_attack, token) => {
    expect(await refusalOf(token)).toMatch(/signed in another way|has not the form|cannot be read/);
  });

  test.each<[attack: string, token: string]>([
    ['under another key', forge({ by: text => sign(null, text, stranger) })],
    ['for other claims', `${forge({ payload: { team: uuidV7() } }).replace(/[^.]+$/, '')}${forge({}).split('.')[2] ?? ''}`],
    ['of zeros', forge({ by: () => Buffer.alloc(64) })],
  ])('with a signature %s', async (_attack, token) => {
    expect(await refusalOf(token)).toBe('Run token is not valid: its signature does not hold');
  });

  test.each<[attack: string, header: object, key?: KeyObject]>([
    ['no key', { kid: undefined }],
    ['an unknown key', { kid: '0123456789abcdef' }],
    ['an empty name', { kid: '' }],
    ['a name that is none', { kid: [honest.header['kid']] }],
    ['a member every object has', { kid: 'constructor' }],
    ['an own key it brings along', { kid: undefined, jwk: stranger.export({ format: 'jwk' }) }, stranger],
  ])('when it names %s', async (_attack, header, key = privateKey) => {
    expect(await refusalOf(forge({ header, by: text => sign(null, text, key) }))).toBe('Run token is not valid: it names no known key');
  });

  test('when it demands an extension, or leaves its payload bare', async () => {
    for (const header of [{ crit: ['exp'], exp: 1 }, { crit: ['b64'], b64: false }]) expect(await refusalOf(forge({ header }))).toMatch(/cannot be read|signature does not hold/);
  });

  test.each<[attack: string, payload: object]>([
    ['another issuer', { iss: 'someone' }],
    ['no issuer', { iss: undefined }],
    ['another audience', { aud: 'gatehouse' }],
    ['no audience', { aud: undefined }],
    ['no end', { exp: undefined }],
    ['an end that is no number', { exp: String(seconds + 60) }],
    ['an end of null', { exp: null }],
    ['a beginning to come', { nbf: seconds + 60 }],
    ['a beginning that is no number', { nbf: 'now' }],
  ])('with %s', async (_attack, payload) => {
    expect(await refusalOf(forge({ payload }))).toBe('Run token is not valid: it is not for here or not for now');
  });

  test.each<[attack: string, payload: object]>([
    ['many audiences', { aud: ['gatehouse-egress', 'elsewhere'] }],
    ['no run', { sub: undefined }],
    ['a run of another form', { sub: 'run-1' }],
    ['a team that is a list', { team: [claims.teamId] }],
    ['no team', { team: undefined }],
    ['no key', { key: '' }],
    ['a sandbox that is a number', { sandbox: 1 }],
    ['a sandbox that no caller can name', { sandbox: '../other' }],
    ['no vaults', { vaults: undefined }],
    ['a vault outside a list', { vaults: claims.vaultIds[0] }],
    ['vaults that are no ids', { vaults: ['default'] }],
    ['an id and more', { vaults: [`${uuidV4()}\n`] }],
    ['51 vaults', { vaults: Array.from({ length: 51 }, uuidV4) }],
    ['no time of signing', { iat: undefined }],
    ['an end in fractions', { exp: seconds + 0.5 }],
  ])('with malformed claims: %s', async (_attack, payload) => {
    expect(await refusalOf(forge({ payload }))).toBe('Run token is not valid: its claims are malformed');
  });

  test('with claims that are no object, or never end', async () => {
    for (const payload of ['null', '[]', '"text"', '{', '']) expect(await refusalOf(forge({ payload }))).toMatch(/cannot be read|has not the form/);
    expect(await refusalOf(forge({ payload: JSON.stringify(honest.payload).replace(/"exp":\d+/, '"exp":1e999') }))).toBe('Run token is not valid: its claims are malformed');
  });

  test('over 8 KiB', async () => {
    const padded = (length: number): string => forge({ payload: { more: 'x'.repeat(length) } });
    expect(padded(5_400).length).toBeLessThan(8_192);
    expect(await verifier.verify(padded(5_400))).toMatchObject(claims);
    expect(await refusalOf(padded(6_000))).toBe('Run token is not valid: it is too long');
  });

  test('with anything before, after or within it', async () => {
    const token = forge({});
    const [header = '', payload = '', signature = ''] = token.split('.');
    const changed = [` ${token}`, `${token} `, `${token}\n`, `${token}=`, `${token}==`, `${token}A`, `${token}.`, `${token}.AAAA`, `.${token}`, `Bearer ${token}`, `${header}=.${payload}.${signature}`, `${header}.${payload}.${signature.slice(0, 40)}\n${signature.slice(40)}`, `${header}..${signature}`, `${header}.${payload}`, ''];
    for (const text of changed) expect(await refusalOf(text)).toBe('Run token is not valid: it has not the form of one');
  });

  test('when any of its characters is another', async () => {
    const token = forge({});
    for (let at = 0; at < token.length; at++) {
      for (const other of ['A', 'B', 'Q', '-', '.', '+']) if (token[at] !== other) await refusalOf(token.slice(0, at) + other + token.slice(at + 1));
    }
  });

  test('whatever it is', async () => {
    await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary' }), async text => void (await refusalOf(text))), { numRuns: 200 });
    const part = fc.oneof(fc.json(), fc.string()).map(text => Buffer.from(text).toString('base64url'));
    await fc.assert(fc.asyncProperty(part, part, async (header, payload) => void (await refusalOf(`${header}.${payload}.${'A'.repeat(86)}`))), { numRuns: 200 });
  });
});

describe('time', () => {
  test('a token ends, with five seconds for clocks that differ, however often it was seen', async () => {
    const clock = { now: NOW };
    const seen = verifierAt(clock, signer.publicKey);
    const token = forge({});
    for (const second of [0, 59, 60, 64]) {
      clock.now = NOW + second * 1_000 + 999;
      await expect(seen.verify(token)).resolves.toMatchObject(claims);
    }
    clock.now = NOW + 65_000;
    expect(await refusalOf(token, seen)).toBe('Run token is not valid: it has expired');
    expect(await refusalOf(token, seen)).toBe('Run token is not valid: it has expired');
  });

  test('a beginning within the tolerance is now', async () => {
    await expect(verifier.verify(forge({ payload: { nbf: seconds + 5 } }))).resolves.toMatchObject(claims);
    await refusalOf(forge({ payload: { nbf: seconds + 6 } }));
  });
});

describe('exchange of keys', () => {
  test('tokens of the old key hold until it is taken away', async () => {
    const successor = new RunTokenSigner(newKey(), () => NOW);
    const [old, fresh] = await Promise.all([signer.sign(claims, { lifetimeSeconds: 60 }), successor.sign(claims, { lifetimeSeconds: 60 })]);
    const both = verifierAt({ now: NOW }, successor.publicKey, signer.publicKey);
    for (const token of [old, fresh]) await expect(both.verify(token)).resolves.toMatchObject(claims);

    const later = verifierAt({ now: NOW }, successor.publicKey);
    await expect(later.verify(fresh)).resolves.toMatchObject(claims);
    expect(await refusalOf(old, later)).toBe('Run token is not valid: it names no known key');
  });

  test('a key does not sign in the name of another', async () => {
    const other = newKey();
    const both = verifierAt({ now: NOW }, signer.publicKey, new RunTokenSigner(other).publicKey);
    expect(await refusalOf(forge({ by: text => sign(null, text, other) }), both)).toBe('Run token is not valid: its signature does not hold');
  });
});

describe('memory', () => {
  /** Keys are looked up as often as signatures are verified. */
  const watched = (options: { rememberedMax?: number } = {}) => {
    const keys = new Map(parseRunTokenPublicKeys(signer.publicKey));
    return { lookUps: jest.spyOn(keys, 'get'), verifier: new RunTokenVerifier(keys, { now: () => NOW, ...options }) };
  };

  test('a token seen again costs no signature', async () => {
    const { lookUps, verifier: own } = watched();
    const token = forge({});
    for (let i = 0; i < 100; i++) await own.verify(token);
    expect(lookUps).toHaveBeenCalledTimes(1);
  });

  test('is bounded: the one not seen for longest goes', async () => {
    const { lookUps, verifier: own } = watched({ rememberedMax: 2 });
    const [one, two, three] = [1, 2, 3].map(more => forge({ payload: { more } })) as [string, string, string];
    for (const token of [one, two, one, three, one]) await own.verify(token);
    expect(lookUps).toHaveBeenCalledTimes(3);
    await own.verify(two);
    expect(lookUps).toHaveBeenCalledTimes(4);
  });

  test('what was refused is not remembered as anything', async () => {
    const { lookUps, verifier: own } = watched();
    const token = forge({ by: () => Buffer.alloc(64) });
    for (let i = 0; i < 3; i++) await refusalOf(token, own);
    expect(lookUps).toHaveBeenCalledTimes(3);
  });
});
