import { type Check, Rule, path } from './rules.js';

const entriesOf = (value: unknown): [string, unknown][] | null => (typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : null);

/** Names the platform sets itself inside a sandbox. */
const PLATFORM_ENV = new Set(['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE']);
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** Messages of maps name the key (never the value), shortened: it is the caller's own text. */
const quoted = (key: string): string => `["${key.length > 64 ? `${key.slice(0, 64)}…` : key}"]`;

const envMap: Check = value => {
  const entries = entriesOf(value);
  if (entries === null) return 'must be an object';
  if (entries.length > 100) return 'must have at most 100 entries';
  for (const [name, content] of entries) {
    if (!ENV_NAME.test(name)) return `${quoted(name)} is not a variable name`;
    if (name.toUpperCase().startsWith('GATEHOUSE_') || PLATFORM_ENV.has(name.toUpperCase())) return `${quoted(name)} is set by the platform`;
    if (typeof content !== 'string') return `${quoted(name)} must be a string`;
    if (content.length > 32_768) return `${quoted(name)} must have at most 32768 characters`;
    if (content.includes('\0')) return `${quoted(name)} must not contain NUL`;
  }
  return null;
};

/** Environment variables: name to value, at most 100. */
export const IsEnvMap = () => Rule('envMap', envMap);

/** What jsonb refuses, and metadata is looked up by. */
const NOT_STORABLE = /\0|\p{Surrogate}/u;

const metadataMap: Check = value => {
  const entries = entriesOf(value);
  if (entries === null) return 'must be an object';
  if (entries.length > 16) return 'must have at most 16 pairs';
  for (const [key, content] of entries) {
    if (key.length < 1 || key.length > 64) return `${quoted(key)} must have a key of 1 to 64 characters`;
    if (typeof content !== 'string') return `${quoted(key)} must be a string`;
    if (content.length > 512) return `${quoted(key)} must have at most 512 characters`;
    if (NOT_STORABLE.test(key) || NOT_STORABLE.test(content)) return `${quoted(key)} must not contain NUL or unpaired surrogates`;
  }
  return null;
};

/** Key-value pairs of the caller: at most 16, keys 1-64, values at most 512. Null is refused, so the field's `nil` must be `refused`. */
export const IsMetadata = () => Rule('metadata', metadataMap);

/** Files by path, or a list of `{path, content}`; at most 1000. */
export type FilesInput = Readonly<Record<string, string>> | readonly { readonly path: string; readonly content: string }[];

/** Either form of a files map as a list in the caller's order. */
export const filesOf = (files: FilesInput): readonly { readonly path: string; readonly content: string }[] =>
  Array.isArray(files) ? (files as readonly { path: string; content: string }[]) : Object.entries(files).map(([filePath, content]) => ({ path: filePath, content: content as string }));

const filesMap: Check = value => {
  const files = Array.isArray(value) ? value.entries() : entriesOf(value)?.map(([filePath, content]) => [quoted(filePath), { path: filePath, content }] as const);
  if (files === undefined) return 'must be an object or an array';
  let count = 0;
  for (const [at, file] of files) {
    if (++count > 1000) return 'must have at most 1000 entries';
    const problem = fileProblem(file, Array.isArray(value));
    if (problem !== null) return `${typeof at === 'number' ? `[${at}]` : at}${problem}`;
  }
  return null;
};

const fileProblem = (file: unknown, listed: boolean): string | null => {
  if (typeof file !== 'object' || file === null) return ' must be an object';
  const { path: filePath, content } = file as { path?: unknown; content?: unknown };
  if (listed && (filePath === undefined || filePath === null || filePath === '')) return '.path is required';
  if (listed && (content === undefined || content === null)) return '.content is required';
  const pathProblem = path(filePath);
  if (pathProblem !== null) return listed ? `.path ${pathProblem}` : ` path ${pathProblem}`;
  if (typeof content !== 'string') return listed ? '.content must be a string' : ' must be a string';
  return null;
};

export const IsFilesMap = () => Rule('files', filesMap);
