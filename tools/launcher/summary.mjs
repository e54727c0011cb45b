import { relative } from 'node:path';
import { note } from '../progress.mjs';

/** What a newcomer needs next, in lines that can be pasted. */
export function printSummary({ url, key, devEnvFile, elapsedMs }) {
  const curl = `curl -s ${url}`;
  const auth = `-H "Authorization: Bearer ${key}"`;
  note(`
Gatehouse is ready after ${(elapsedMs / 1000).toFixed(1)} s: ${url}

  Who am I       ${curl}/v1/me ${auth}
  A sandbox      ${curl}/v1/sandboxes ${auth} -H "Content-Type: application/json" -d '{"agent":"demo"}'
  Settings       ${relative(process.cwd(), devEnvFile)} (GATEHOUSE_URL, GATEHOUSE_API_KEY)
  Stop           Ctrl-C
`);
}
