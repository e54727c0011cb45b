import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { GatehouseError } from '@gatehouse/contracts';

export interface UploadLimits {
  readonly bytesMax: number;
  /** What a client is told that sends more. */
  readonly whenLarger: string;
  /** How long a client may send nothing while it is asked for more. */
  readonly silenceMs: number;
}

const invalid = (message: string): GatehouseError => new GatehouseError('invalid_request', message);

/** Connections on which an upload is being read: it has a clock of its own. */
const uploading = new WeakSet<Socket>();
export const isUploading = (socket: Socket): boolean => uploading.has(socket);

/**
 * The body of a request as it stands, of any type, read as far as somebody wants it. Errors with GatehouseError `invalid_request`
 * when it is too large, breaks off, or its client falls silent. Destroying it leaves the connection open for an answer.
 * @throws GatehouseError `invalid_request` for an encoded body, and for one that is said to be too large before any of it is read
 */
export class UploadedBytes extends Readable {
  private bytes = 0;
  private wanted = false;
  private readonly silence: NodeJS.Timeout;

  constructor(
    private readonly request: IncomingMessage,
    private readonly limits: UploadLimits,
  ) {
    // A coded body would have to be unpacked without bound or be kept packed: what comes out would not be what went in.
    if ((request.headers['content-encoding'] ?? 'identity').trim().toLowerCase() !== 'identity') throw invalid('Unsupported content encoding');
    if (Number(request.headers['content-length'] ?? 0) > limits.bytesMax) throw invalid(limits.whenLarger);
    super();
    uploading.add(request.socket);
    this.silence = setTimeout(this.listenForSilence, limits.silenceMs);
    request.pause().on('data', this.accept).on('end', this.finish).on('error', this.breakOff).on('close', this.breakOff);
    if (request.destroyed) this.breakOff();
  }

  override _read(): void {
    this.wanted = true;
    this.silence.refresh();
    this.request.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const { request } = this;
    clearTimeout(this.silence);
    uploading.delete(request.socket);
    request.pause().off('data', this.accept).off('end', this.finish).off('close', this.breakOff).off('error', this.breakOff);
    callback(error);
  }

  private readonly accept = (chunk: Buffer): void => {
    this.bytes += chunk.length;
    if (this.bytes > this.limits.bytesMax) return void this.destroy(invalid(this.limits.whenLarger));
    this.silence.refresh();
    this.wanted = this.push(chunk);
    if (!this.wanted) this.request.pause();
  };

  private readonly finish = (): void => {
    this.wanted = false;
    this.push(null);
  };

  private readonly breakOff = (reason?: unknown): void => {
    if (!this.request.complete) this.destroy(reason instanceof GatehouseError ? reason : invalid('The request ended before it was complete'));
  };

  /** Of a client that was asked for more: where nobody asks, it is not the client that is slow. */
  private readonly listenForSilence = (): void => {
    if (this.wanted) this.destroy(invalid('The request took too long to arrive'));
  };
}
