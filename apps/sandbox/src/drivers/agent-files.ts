import type { Readable } from 'node:stream';
import { parseCreated, parseFileEntry, parseFileList, parseFileRefusal, parseSize, parseWritten } from './agent-answers.js';
import type { AgentCall, AgentClient } from './agent-client.js';
import { ReceivedContent, SentContent } from './agent-content.js';
import type { FileEntry, FileList, SandboxFiles, WriteOptions } from './sandbox.driver.js';

/** For what takes the longer the more there is: a list, a removal, a file that has to be copied. */
const WORK_TIMEOUT_MS = 120_000;
const LIST_BYTES_MAX = 10 * 1024 * 1024;

/** The calls of the agent that are about files. Paths are absolute and have no `.` or `..`. */
export class AgentFiles implements SandboxFiles {
  constructor(
    private readonly client: AgentClient,
    /** How long the agent may be silent, also between two pieces of content. */
    private readonly timeoutMs: number,
  ) {}

  async write(path: string, content: Uint8Array | Readable, { mode, maxBytes }: WriteOptions = {}): Promise<number> {
    const call = question('PUT', '/v1/files/content', { path, mode, maxBytes });
    if (content instanceof Uint8Array) return this.client.ask({ ...call, body: content }, answer => parseWritten(answer, content.length));
    const body = new SentContent(content);
    try {
      return await this.client.ask({ ...call, body }, answer => parseWritten(answer, body.complete ? body.bytes : null));
    } catch (error) {
      throw body.failure ? body.failure.reason : error;
    } finally {
      content.destroy(); // nobody wants the rest
    }
  }

  read(path: string): Promise<{ size: number; content: Readable }> {
    return this.client.answered(question('GET', '/v1/files/content', { path }), async response => {
      const size = parseSize(response.headers['content-length']);
      return { size, content: new ReceivedContent(response, size, this.timeoutMs) };
    });
  }

  stat(path: string): Promise<FileEntry> {
    return this.client.ask(question('GET', '/v1/files/stat', { path }), answer => parseFileEntry(answer, path));
  }

  list(path: string, options: { depth: number; maxEntries: number }): Promise<FileList> {
    const call = { ...question('GET', '/v1/files/list', { path, ...options }), timeoutMs: WORK_TIMEOUT_MS, bytesMax: LIST_BYTES_MAX };
    return this.client.ask(call, answer => parseFileList(answer, { path, ...options }));
  }

  mkdir(path: string): Promise<boolean> {
    return this.client.ask(question('POST', '/v1/files/mkdir', { path }), parseCreated);
  }

  rename(from: string, to: string): Promise<FileEntry> {
    return this.client.ask({ ...question('POST', '/v1/files/rename', { path: from, to }), timeoutMs: WORK_TIMEOUT_MS }, answer => parseFileEntry(answer, to));
  }

  remove(path: string): Promise<void> {
    return this.client.ask({ ...question('DELETE', '/v1/files', { path }), timeoutMs: WORK_TIMEOUT_MS }, () => undefined);
  }
}

function question(method: AgentCall['method'], path: string, fields: Record<string, string | number | undefined>): AgentCall {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) query.set(name, String(value));
  return { method, path: `${path}?${query}`, refusal: parseFileRefusal };
}
