import { randomBytes } from 'node:crypto';

/** Secrets that are given to the system, and what to look for where none of them may be. */
export class Planted {
  private readonly secrets: string[] = [];
  private readonly forms = new Map<string, string>();

  /** A new secret; its blanks and signs make each encoding of it different. */
  secret(name: string): string {
    const secret = `planted/${name}+${randomBytes(9).toString('hex')}=&%`;
    this.secrets.push(secret);
    for (const form of formsOf(secret)) this.forms.set(form, name);
    return secret;
  }

  /** Which secrets stand in a text, in any form. */
  in(text: string): string[] {
    return [...new Set([...this.forms].filter(([form]) => text.includes(form)).map(([, name]) => name))];
  }
}

/** Plain, percent-encoded, form-encoded, hex and base64, whatever stands before it in the same encoding. */
const formsOf = (secret: string): string[] => {
  // The part that is random is enough to know it by, and no encoding of text changes it.
  const core = /[0-9a-f]{18}/.exec(secret)?.[0] ?? secret;
  const bytes = Buffer.from(secret);
  const base64 = [0, 1, 2].flatMap(shift => {
    const whole = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64');
    // Digits that hold bits of neighbours say nothing.
    const own = whole.slice(shift === 0 ? 0 : 4, -4);
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')];
  });
  return [core, bytes.toString('hex'), bytes.toString('hex').toUpperCase(), encodeURIComponent(secret), new URLSearchParams({ a: secret }).toString().slice(2), ...base64];
};
