import type { AppProcess } from '@gatehouse/testing';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly text: string;
  readonly headers: Headers;
}

export type Api = (method: string, path: string, body?: unknown) => Promise<Answer>;

/** Calls a gateway with one key. */
export const apiOf =
  (gateway: AppProcess, secret: string): Api =>
  (method, path, body) =>
    sendText(gateway, secret, method, path, body === undefined ? {} : { text: JSON.stringify(body) });

/** One call whose body goes out as it stands. */
export const sendText = async ({ url }: AppProcess, secret: string, method: string, path: string, { text: body, type = 'application/json' }: { readonly text?: string; readonly type?: string } = {}): Promise<Answer> => {
  const answer = await fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${secret}`, 'content-type': type }, ...(body === undefined ? {} : { body }), signal: AbortSignal.timeout(30_000) });
  const text = await answer.text();
  return { status: answer.status, text, body: text === '' ? null : (JSON.parse(text) as unknown), headers: answer.headers };
};
