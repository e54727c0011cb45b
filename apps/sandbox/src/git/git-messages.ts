const LOGGED_CHARACTERS_MAX = 1_000;

/** Told to callers; the first whose words git used. What git printed is told to nobody. */
const REASONS: readonly (readonly [words: RegExp, reason: string])[] = [
  [/No space left on device|Disk quota exceeded/, 'the disk of the sandbox is full'],
  [/Permission denied|Read-only file system/, 'the target cannot be written'],
  [/Remote branch .* not found/, 'it has no such branch'],
  [/Authentication failed|could not read (Username|Password)|returned error: 40[13]/, 'the server refused access'],
  [/repository .* not found|returned error: 404/, 'the server does not have it'],
  [/does not support shallow/, 'the server does not support a depth'],
  [/Could not resolve host|Failed to connect|Couldn't connect|Connection (refused|reset|timed out)/i, 'the server could not be reached'],
  [/unable to update url base from redirection|Maximum \(\d+\) redirects/, 'the server leads elsewhere'],
  [/SSL|certificate/i, 'the connection to the server is not trusted'],
];

/** What went wrong in fixed words. */
export const cloneFailure = (stderr: string): string => {
  const reason = REASONS.find(([words]) => words.test(stderr))?.[1];
  return `The repository could not be cloned${reason === undefined ? '' : `: ${reason}`}`;
};

/** Lines in which a server speaks or is led to: what they hold is its choice, and it knows the token. */
const FROM_SERVER = /^remote:|remote error:|redirect|server response|protocol error/i;

/** Git's own words for the log: without the server's, without addresses, without the token in the forms it travels in. */
export const loggableStderr = (stderr: string, token?: string): string => {
  const own = stderr
    .split('\n')
    .filter(line => line.trim() !== '' && !FROM_SERVER.test(line))
    .join('; ');
  const masked = formsOf(token).reduce((text, form) => text.replaceAll(form, '[redacted]'), own);
  return masked.replace(/\b[a-z][a-z0-9+.-]*:\/\/[^\s'"]*/gi, '[url]').replace(/[\u0000-\u001f\u007f]/g, ' ').slice(0, LOGGED_CHARACTERS_MAX);
};

/** Longest first: one form may hold another. */
const formsOf = (token: string | undefined): string[] =>
  token === undefined ? [] : [Buffer.from(`x-access-token:${token}`).toString('base64'), encodeURIComponent(token), token].sort((a, b) => b.length - a.length);
