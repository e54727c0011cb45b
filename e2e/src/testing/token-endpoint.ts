import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TokenEndpoint {
  readonly url: string;
  /** Forms that were posted, in order. */
  readonly forms: URLSearchParams[];
  close(): Promise<void>;
}

export interface TokenAnswer {
  readonly status?: number;
  readonly body: object;
  /** Called when the answer has left. */
  readonly sent?: () => void;
}

/** An authorization server on this machine, as far as refreshes go. */
export const openTokenEndpoint = async (answer: (form: URLSearchParams, count: number) => TokenAnswer | Promise<TokenAnswer>): Promise<TokenEndpoint> => {
  const forms: URLSearchParams[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const form = new URLSearchParams(await textOf(request));
      const { status = 200, body, sent } = await answer(form, forms.push(form));
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(body), sent);
    })();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    forms,
    close: () => new Promise(resolve => (server.closeAllConnections(), server.close(() => resolve()))),
  };
};

const textOf = async (request: IncomingMessage): Promise<string> => {
  let text = '';
  for await (const chunk of request.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
  return text;
};
