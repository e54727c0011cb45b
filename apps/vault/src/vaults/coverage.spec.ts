import { describe, expect, test } from '@jest/globals';
import { type CoveringCredential, coverageWarnings, coverServers } from './coverage.js';

const LINEAR = { name: 'linear', url: 'https://MCP.linear.app/mcp/' };
const NOTION = { name: 'notion', url: 'https://mcp.notion.com/mcp' };
const kept = (id: string, vaultId: string, status: CoveringCredential['status'], serverUrlNormalized = 'https://mcp.linear.app/mcp'): CoveringCredential => ({ id, vaultId, serverUrlNormalized, status });
const missing = ({ name, url }: typeof LINEAR) => ({ name, url, status: 'missing', vaultId: null, credentialId: null });

describe('coverage', () => {
  test('compares normalised addresses and shows them as declared', () => {
    expect(coverServers([LINEAR, NOTION], ['v1'], [kept('c1', 'v1', 'active')])).toEqual([{ ...LINEAR, status: 'covered', vaultId: 'v1', credentialId: 'c1' }, missing(NOTION)]);
  });

  test('is given by the first vault in order', () => {
    const credentials = [kept('c2', 'v2', 'active'), kept('c1', 'v1', 'active')];
    expect(coverServers([LINEAR], ['v2', 'v1'], credentials)).toMatchObject([{ vaultId: 'v2', credentialId: 'c2' }]);
    expect(coverServers([LINEAR], ['v1', 'v2'], credentials)).toMatchObject([{ vaultId: 'v1', credentialId: 'c1' }]);
  });

  test('an archived credential covers nothing, but is told', () => {
    const services = coverServers([LINEAR, NOTION], ['v1', 'v2'], [kept('c1', 'v1', 'archived'), kept('c2', 'v2', 'archived')]);
    expect(services).toEqual([{ ...LINEAR, status: 'archived', vaultId: null, credentialId: null }, missing(NOTION)]);
    expect(coverageWarnings(services)).toEqual(['linear: only archived credentials found']);
    expect(coverServers([LINEAR], ['v1'], [kept('old', 'v1', 'archived'), kept('new', 'v1', 'active')])).toMatchObject([{ status: 'covered', credentialId: 'new' }]);
  });

  test('other vaults, ports, schemes and paths do not count', () => {
    expect(coverServers([LINEAR], [], [kept('c1', 'v1', 'active')])).toEqual([missing(LINEAR)]);
    expect(coverServers([LINEAR], ['v2'], [kept('c1', 'v1', 'active')])).toEqual([missing(LINEAR)]);
    for (const url of ['http://mcp.linear.app/mcp', 'https://mcp.linear.app:8443/mcp', 'https://mcp.linear.app/mcp/x', 'https://*.linear.app/mcp']) {
      expect(coverServers([LINEAR], ['v1'], [kept('c1', 'v1', 'active', url)])).toEqual([missing(LINEAR)]);
    }
  });

  test('what no credential can be kept for is missing', () => {
    const metadata = { name: 'metadata', url: 'http://169.254.169.254/latest' };
    expect(coverServers([metadata], ['v1'], [kept('c1', 'v1', 'active')])).toEqual([missing(metadata)]);
  });
});
