import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ERROR_CATALOGUE } from '@gatehouse/contracts';
import { type AppProcess, createSystem, type System } from '@gatehouse/testing';
import fc from 'fast-check';

const REQUESTS = 20_000;
const AT_ONCE = 32;

let system: System;
let gateway: AppProcess;
let secret: string;
beforeAll(async () => {
  system = createSystem({ RATE_LIMIT_DEFAULT_BURST: '1000000', RATE_LIMIT_CREATE_BURST: '1000000', RATE_LIMIT_TEAM_BURST: '1000000' });
  ({ gateway } = await system.startAll());
  ({ secret } = await system.createKey());
}, 60_000);
afterAll(async () => system?.close(), 60_000);

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

const text = fc.oneof(fc.string({ maxLength: 30 }), fc.string({ unit: 'binary', maxLength: 30 }), fc.constantFrom('', ' ', '\0', '\ud800', '__proto__', 'constructor', 'x'.repeat(600), 'ü'.repeat(20_000), '🙂'.repeat(300)));
const anything = fc.oneof({ depthSize: 'small' }, fc.jsonValue({ maxDepth: 3 }), text, fc.constantFrom(null, true, 0, -1, 1e308, [], {}, [[]], { '': '' }));
/** Mostly what belongs there, now and then what does not. */
const mostly = <T>(right: fc.Arbitrary<T>): fc.Arbitrary<unknown> => fc.oneof({ arbitrary: right, weight: 4 }, { arbitrary: anything, weight: 1 });
const some = (fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<object> => fc.record(fields, { requiredKeys: [] });

const url = fc.oneof(
  fc.webUrl({ withFragments: true, withQueryParameters: true }),
  fc.tuple(fc.constantFrom('http', 'https', 'ftp', 'HTTPS', ''), fc.constantFrom('://', ':', ':/', '//', ':\\\\'), text, text).map(parts => parts.join('')),
  fc.constantFrom('https://*.com', 'https://*.example.com/x', 'https://a.*.com', 'https://169.254.169.254/', 'https://0xa9fea9fe/', 'https://[::1]/', 'https://h/%00', 'https://h/\n', 'https://u:p@h/', 'https://h:99999/', `https://h/${'ü'.repeat(2_000)}`),
);
const metadata = fc.dictionary(fc.oneof(fc.constantFrom('external_user_id', 'a'), text), mostly(text), { maxKeys: 18 });
const auth = fc.oneof(
  some({ type: mostly(fc.constant('bearer')), token: mostly(text) }),
  some({
    type: mostly(fc.constant('oauth')), accessToken: mostly(text), refreshToken: mostly(text), clientId: mostly(text), clientSecret: mostly(text), tokenEndpoint: mostly(url),
    tokenEndpointAuth: mostly(fc.constantFrom('none', 'client_secret_basic', 'client_secret_post')), tokenType: mostly(text),
    expiresAt: mostly(fc.oneof(fc.date({ noInvalidDate: true }).map(date => date.toISOString()), fc.constantFrom('2026-02-30T00:00:00Z', '2026-01-01', '+275760-09-13T00:00:00.001Z'))), scope: mostly(text), resource: mostly(text),
  }),
);
const inject = some({ kind: mostly(fc.constantFrom('header', 'query', 'basic')), header: mostly(fc.oneof(fc.constant('X-Key'), text)), prefix: mostly(text), param: mostly(text), username: mostly(text) });
const vaultBody = some({ name: mostly(text), description: mostly(text), metadata: mostly(metadata), other: anything });
const credentialBody = some({ name: mostly(text), serverUrl: mostly(url), auth: mostly(auth), inject: mostly(inject), metadata: mostly(metadata) });
const coverageBody = some({ vaultIds: mostly(fc.array(fc.uuid(), { maxLength: 60 })), externalUserId: mostly(text) });

const body = (right: fc.Arbitrary<object>): fc.Arbitrary<string> =>
  fc.oneof({ arbitrary: right.map(value => JSON.stringify(value)), weight: 20 }, { arbitrary: anything.map(value => JSON.stringify(value)), weight: 2 }, { arbitrary: text, weight: 1 });

const requests = (vaultId: string, credentialId: string): fc.Arbitrary<Sent> => {
  const segment = fc.oneof(fc.uuid(), text.map(encodeLoosely), fc.constantFrom('%', '%ff', '..', '%00'));
  const vault = fc.oneof({ arbitrary: fc.constant(vaultId), weight: 6 }, { arbitrary: segment, weight: 1 });
  const credential = fc.oneof({ arbitrary: fc.constant(credentialId), weight: 6 }, { arbitrary: segment, weight: 1 });
  const query = fc.oneof({ arbitrary: fc.constant(''), weight: 8 }, { arbitrary: fc.oneof(fc.constantFrom('?force=true', '?force=true&force=true', '?force=', '?status=archived', '?status=x'), text.map(value => `?force=${encodeLoosely(value)}`), text.map(value => `?${encodeLoosely(value)}`)), weight: 1 });
  const sent = (method: string, path: fc.Arbitrary<string>, content: fc.Arbitrary<string> = fc.constant('')): fc.Arbitrary<Sent> => fc.tuple(path, query, content).map(([where, search, what]) => ({ method, path: `/v1/mcp/vaults${where}${search}`, body: what }));
  return fc.oneof(
    { arbitrary: sent('POST', fc.constant(''), body(vaultBody)), weight: 3 },
    { arbitrary: sent('PATCH', vault.map(id => `/${id}`), body(vaultBody)), weight: 4 },
    { arbitrary: sent('POST', vault.map(id => `/${id}/credentials`), body(credentialBody)), weight: 8 },
    { arbitrary: sent('PATCH', fc.tuple(vault, credential).map(([one, two]) => `/${one}/credentials/${two}`), body(credentialBody)), weight: 8 },
    { arbitrary: sent('DELETE', fc.tuple(segment, segment).map(([one, two]) => `/${one}/credentials/${two}`)), weight: 1 },
    { arbitrary: sent('DELETE', segment.map(id => `/${id}`)), weight: 1 },
    { arbitrary: sent('GET', vault.map(id => `/${id}`)), weight: 1 },
    { arbitrary: sent('POST', vault.map(id => `/${id}/set-default`), body(vaultBody)), weight: 1 },
    { arbitrary: fc.tuple(fc.oneof(fc.constant('fuzzed'), segment), body(coverageBody)).map(([slug, what]) => ({ method: 'POST', path: `/v1/agents/${slug}/coverage`, body: what })), weight: 2 },
  );
};

const encodeLoosely = (value: string): string => encodeURIComponent(value.replaceAll(/\p{Surrogate}/gu, ''));

const SUCCESS = new Set([200, 201]);
const send = async ({ method, path, body: content }: Sent): Promise<{ status: number; text: string }> => {
  const answer = await fetch(`${gateway.url}${path}`, { method, headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, ...(method === 'GET' || method === 'DELETE' ? {} : { body: content }) });
  return { status: answer.status, text: await answer.text() };
};

test(`${REQUESTS} random requests get documented statuses and codes only`, async () => {
  const made = async (path: string, what: object): Promise<{ id: string }> => Object.values(JSON.parse((await send({ method: 'POST', path, body: JSON.stringify(what) })).text) as Record<string, { id: string }>)[0] as { id: string };
  await fetch(`${gateway.url}/v1/agents/fuzzed`, { method: 'PUT', headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, body: JSON.stringify({ mcpServers: [{ name: 'a', url: 'https://mcp.example.com/' }] }) });
  const { id: vaultId } = await made('/v1/mcp/vaults', { name: 'V' });
  const { id: credentialId } = await made(`/v1/mcp/vaults/${vaultId}/credentials`, { serverUrl: 'https://mcp.example.com/', auth: { type: 'bearer', token: 't' } });

  const seed = Date.now();
  const all = fc.sample(requests(vaultId, credentialId), { numRuns: REQUESTS, seed });
  const statuses: Record<number, number> = {};
  const wrong: object[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let request = all[next++]; request !== undefined && wrong.length < 5; request = all[next++]) {
      const { status, text: answer } = await send(request);
      statuses[status] = (statuses[status] ?? 0) + 1;
      if (SUCCESS.has(status)) continue;
      const { error } = JSON.parse(answer) as { error?: { code: string; status: number; message: string } };
      const documented = error !== undefined && Object.hasOwn(ERROR_CATALOGUE, error.code) && error.status === status && status < 500 && error.message.length > 0 && error.message.length < 2_000;
      if (!documented) wrong.push({ seed, request, status, answer: answer.slice(0, 500) });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  expect(wrong).toEqual([]);
  // Some of everything happened: what refuses all is no test of what it does with the rest.
  expect(Object.keys(statuses).map(Number)).toEqual(expect.arrayContaining([200, 201, 400, 404]));
}, 180_000);
