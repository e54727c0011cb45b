import { readFileSync } from 'node:fs';
import { COVERAGE_MODES, type ServerSuggestion, serverUrl } from '@gatehouse/contracts';
import { commonConfig, ConfigError, databaseConfig, flag, integer, oneOf, read, readConfig } from '@gatehouse/platform';
import { type KeyRing, parseKeyRing, parseRunTokenPublicKeys } from '@gatehouse/sealing';

const DEFAULT_SUGGESTIONS: readonly ServerSuggestion[] = [
  { name: 'Canva', url: 'https://mcp.canva.com/mcp' },
  { name: 'Figma', url: 'https://mcp.figma.com/mcp' },
  { name: 'Notion', url: 'https://mcp.notion.com/mcp' },
  { name: 'Atlassian Rovo', url: 'https://mcp.atlassian.com/v1/mcp' },
  { name: 'Slack', url: 'https://mcp.slack.com/mcp' },
  { name: 'HubSpot', url: 'https://mcp.hubspot.com/anthropic' },
  { name: 'Linear', url: 'https://mcp.linear.app/mcp' },
  { name: 'Monday.com', url: 'https://mcp.monday.com/mcp' },
  { name: 'Microsoft 365', url: 'https://microsoft365.mcp.claude.com/mcp' },
];
const SUGGESTIONS_MAX = 100;
const SUGGESTION_NAME_MAX = 200;
/** What the launcher calls the keys it makes. */
const DEVELOPMENT_KEY = 'dev';
const KEYS_DESCRIPTION = 'keys that encrypt credentials at rest, id:base64[,id:base64]; the first one is current. Either this or VAULT_KEYS_FILE must be given';

export const vaultConfigSpecs = {
  ...commonConfig,
  ...databaseConfig,
  VAULT_KEYS: read(parseKeyRing)({ default: undefined, desc: KEYS_DESCRIPTION }),
  VAULT_KEYS_FILE: read(file => parseKeyRing(contentOf(file)))({ default: undefined, desc: 'file that holds these keys instead' }),
  RUN_TOKEN_PUBLIC_KEYS: read(parseRunTokenPublicKeys)({ desc: 'keys that tokens of runs are verified with, base64[,base64]; several while they are exchanged' }),
  VAULT_COVERAGE_MODE: oneOf(...COVERAGE_MODES)({ default: 'warn', desc: 'what happens to a run whose agent declares a server without a credential: strict refuses it, warn says so, off says nothing' }),
  VAULT_SUGGESTIONS_FILE: read(file => readSuggestions(contentOf(file)))({ default: undefined, desc: 'JSON file of the servers suggested to callers, [{"name", "url"}], in place of the built-in list' }),
  VAULT_ALLOW_PRIVATE_TOKEN_ENDPOINTS: flag({ default: false, desc: 'true: token endpoints may have private and loopback addresses; never link-local ones' }),
  VAULT_AUDIT_DAYS: integer({ min: 1, max: 3_650 })({ default: 90, desc: 'days that audit events are kept' }),
};

/** @throws ConfigError naming every variable that is missing or wrong. */
export const readVaultConfig = (environment: NodeJS.ProcessEnv) => {
  // Without the file the text is required like any other variable, and told together with whatever else is missing.
  const specs = environment['VAULT_KEYS_FILE'] === undefined ? { ...vaultConfigSpecs, VAULT_KEYS: read(parseKeyRing)({ desc: KEYS_DESCRIPTION }) } : vaultConfigSpecs;
  const { VAULT_KEYS, VAULT_KEYS_FILE, ...config } = readConfig(environment, specs);
  return { ...config, VAULT_KEY_RING: theKeyRing(VAULT_KEYS, VAULT_KEYS_FILE, config.NODE_ENV) };
};
export type VaultConfig = ReturnType<typeof readVaultConfig>;

/** Servers a caller may want to connect, in the order they are shown. */
export const suggestionsOf = ({ VAULT_SUGGESTIONS_FILE }: VaultConfig): readonly ServerSuggestion[] => VAULT_SUGGESTIONS_FILE ?? DEFAULT_SUGGESTIONS;

const theKeyRing = (given: KeyRing | undefined, inFile: KeyRing | undefined, mode: string): KeyRing => {
  const keyRing = given ?? inFile;
  if (keyRing === undefined || (given !== undefined && inFile !== undefined)) throw new ConfigError(['VAULT_KEYS and VAULT_KEYS_FILE are two ways to say the same: give exactly one of them']);
  // As a former key it stays welcome: what it wrapped must open once more to be brought under another.
  if (mode === 'production' && keyRing.currentId === DEVELOPMENT_KEY) throw new ConfigError([`the vault's current key has the id "${DEVELOPMENT_KEY}", which is for development: put a key of another id first`]);
  return keyRing;
};

function contentOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new TypeError('names a file that cannot be read', { cause: error });
  }
}

function readSuggestions(json: string): readonly ServerSuggestion[] {
  const suggestions = parseJson(json);
  if (!Array.isArray(suggestions)) throw new TypeError('must be a JSON array of suggestions');
  if (suggestions.length > SUGGESTIONS_MAX) throw new TypeError(`must have at most ${SUGGESTIONS_MAX} suggestions`);
  return suggestions.map(suggestionAt);
}

function suggestionAt(value: unknown, index: number): ServerSuggestion {
  const { name, url } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Record<keyof ServerSuggestion, unknown>>;
  if (typeof name !== 'string' || name.trim() === '' || name.length > SUGGESTION_NAME_MAX) throw new TypeError(`suggestion ${index + 1}: name must be a text of 1 to ${SUGGESTION_NAME_MAX} characters`);
  const problem = serverUrl(url);
  if (typeof url !== 'string' || problem !== null) throw new TypeError(`suggestion ${index + 1}: url ${problem ?? 'must be a string'}`);
  return { name, url };
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new TypeError('the file is not JSON', { cause: error });
  }
}
