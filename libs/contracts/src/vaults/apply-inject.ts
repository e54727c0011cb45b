import type { InjectRule } from './inject-rule.js';

/** The part of an outgoing request that a credential changes. */
export interface InjectTarget {
  readonly url: string;
  /** Names in any case, each once or more. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** The request with the secret where the rule puts it, in place of whatever stood there (spec 10.9). */
export const applyInject = (rule: InjectRule, secret: string, { url, headers }: InjectTarget): InjectTarget => {
  switch (rule.kind) {
    case 'header':
      return { url, headers: withHeader(headers, rule.header, `${rule.prefix ?? ''}${secret}`) };
    case 'basic':
      return { url, headers: withHeader(headers, 'Authorization', `Basic ${Buffer.from(`${rule.username ?? ''}:${secret}`).toString('base64')}`) };
    case 'query': {
      const target = new URL(url);
      target.searchParams.set(rule.param, secret);
      return { url: target.href, headers };
    }
  }
};

/** A second header of the name would be the sandbox's own, and some servers read the first and some the last. */
const withHeader = (headers: InjectTarget['headers'], name: string, value: string): InjectTarget['headers'] => [...headers.filter(([other]) => other.toLowerCase() !== name.toLowerCase()), [name, value]];
