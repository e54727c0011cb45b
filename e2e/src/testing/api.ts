import type { AppProcess } from '@gatehouse/testing';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly text: string;
}

export type Api = (method: string, path: string, body?: unknown) => Promise<Answer>;

/** Calls a gateway with one key. */
export const apiOf =
  ({ url }: AppProcess, secret: string): Api =>
  async (method, path, body) => {
    const answer = await fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }), signal: AbortSignal.timeout(30_000) });
    const text = await answer.text();
    return { status: answer.status, text, body: text === '' ? null : (JSON.parse(text) as unknown) };
  };
