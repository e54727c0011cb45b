import { describe, expect, test } from '@jest/globals';
import type { AgentServers, Credential, Vault, VaultDetail } from '@gatehouse/contracts';
import { agentsAndCoverage } from './vault-detail.js';

const LINEAR = { name: 'linear', url: 'https://MCP.Linear.App:443/mcp/' };
const NOTION = { name: 'notion', url: 'https://mcp.notion.com/mcp' };
const METADATA = { name: 'metadata', url: 'http://169.254.169.254/latest' };

const kept = (id: string, serverUrlNormalized: string, changes: Partial<Credential> = {}): Credential => ({
  id,
  vaultId: 'v1',
  name: `named ${id}`,
  serverUrl: serverUrlNormalized,
  serverUrlNormalized,
  hostPattern: new URL(serverUrlNormalized).hostname,
  inject: { kind: 'basic' },
  authType: 'bearer',
  auth: { type: 'bearer', hasToken: true },
  metadata: {},
  status: 'active',
  lastError: null,
  lastResolvedAt: null,
  createdAt: '2026-03-01T09:30:00.000Z',
  updatedAt: '2026-03-01T09:30:00.000Z',
  archivedAt: null,
  ...changes,
});
const agent = (slug: string, servers: AgentServers['servers']): AgentServers => ({ id: `id of ${slug}`, name: slug.toUpperCase(), slug, activeVersion: 3, servers });
const seen = (credentials: readonly Credential[], ...agents: AgentServers[]): Pick<VaultDetail, 'agents' | 'coverage'> => agentsAndCoverage({ credentials } as Vault, agents);
const ready = (server: object, credentialId: string, credentialName: string | null): object => ({ ...server, status: 'ready', credentialId, credentialName });
const lacking = (server: object): object => ({ ...server, status: 'missing_credential', credentialId: null, credentialName: null });

describe('a declared server', () => {
  test.each<[what: string, credentials: readonly Credential[], server: typeof LINEAR, shown: object]>([
    ['is ready by its address, however it is spelled, and shown as declared', [kept('c1', 'https://mcp.linear.app/mcp')], LINEAR, ready(LINEAR, 'c1', 'named c1')],
    ['is ready by a credential without a name', [kept('c1', 'https://mcp.linear.app/mcp', { name: null })], LINEAR, ready(LINEAR, 'c1', null)],
    ['is ready by the active one beside archived ones', [kept('old', NOTION.url, { status: 'archived' }), kept('new', NOTION.url), kept('older', NOTION.url, { status: 'archived' })], NOTION, ready(NOTION, 'new', 'named new')],
    ['lacks one in an empty vault', [], LINEAR, lacking(LINEAR)],
    ['lacks one when it is archived', [kept('c1', NOTION.url, { status: 'archived' })], NOTION, lacking(NOTION)],
    ['lacks one of its path', [kept('c1', 'https://mcp.notion.com/')], NOTION, lacking(NOTION)],
    ['lacks one of its scheme', [kept('c1', 'http://mcp.notion.com/mcp')], NOTION, lacking(NOTION)],
    ['lacks one of its port', [kept('c1', 'https://mcp.notion.com:8443/mcp')], NOTION, lacking(NOTION)],
    ['lacks one of its own name', [kept('c1', 'https://*.notion.com/mcp')], NOTION, lacking(NOTION)],
    ['lacks one that cannot be kept', [kept('c1', 'https://mcp.notion.com/mcp')], METADATA, lacking(METADATA)],
  ])('%s', (_what, credentials, server, shown) => {
    expect(seen(credentials, agent('a', [server])).agents).toEqual([{ id: 'id of a', name: 'A', slug: 'a', activeVersion: 3, servers: [shown] }]);
  });

  test('stays in the order of its agent, and agents in theirs', () => {
    const { agents } = seen([], agent('b', [NOTION, LINEAR]), agent('a', [LINEAR]), agent('c', []));
    expect(agents.map(({ slug, servers }) => [slug, ...servers.map(({ name }) => name)])).toEqual([['b', 'notion', 'linear'], ['a', 'linear'], ['c']]);
  });
});

describe('coverage', () => {
  test.each<[what: string, credentials: readonly Credential[], agents: readonly AgentServers[], coverage: VaultDetail['coverage']]>([
    ['nothing', [], [], { active: [], missing: [] }],
    ['hosts of active credentials, needed or not', [kept('c1', 'https://b.example/'), kept('c2', 'https://a.example:8443/')], [], { active: ['a.example', 'b.example'], missing: [] }],
    ['each host once', [kept('c1', 'https://a.example/x'), kept('c2', 'https://a.example/y')], [agent('a', [NOTION, { ...NOTION, url: 'https://mcp.notion.com/other' }]), agent('b', [NOTION])], { active: ['a.example'], missing: ['mcp.notion.com'] }],
    ['no host of an archived credential', [kept('c1', NOTION.url, { status: 'archived' })], [agent('a', [NOTION])], { active: [], missing: ['mcp.notion.com'] }],
    ['hosts in the form they are kept in', [], [agent('a', [LINEAR, { name: 'b', url: 'https://bücher.example/' }, METADATA])], { active: [], missing: ['169.254.169.254', 'mcp.linear.app', 'xn--bcher-kva.example'] }],
    ['a host on both sides, by two addresses', [kept('c1', 'https://mcp.notion.com/other')], [agent('a', [NOTION])], { active: ['mcp.notion.com'], missing: ['mcp.notion.com'] }],
  ])('has %s', (_what, credentials, agents, coverage) => {
    expect(seen(credentials, ...agents).coverage).toEqual(coverage);
  });
});
