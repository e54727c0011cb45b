import { Readable } from 'node:stream';
import { GatehouseError } from '@gatehouse/contracts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { EncryptedBus } from '../bus/encrypted-bus.js';
import type { MessageBus } from '../bus/message-bus.js';
import { CountingSource, contentOf, drain } from '../testing/byte-sources.js';
import { eventually, expectError } from '../testing/expectations.js';
import { Stage, type StagedStreams } from '../testing/stage.js';
import { CHUNK_BYTES, WINDOW_CHUNKS, encodeFrame } from './frames.js';
import { isStreamRef, newStreamRef } from './stream-ref.js';

/** What a sender has read at most of its source while nobody reads: the window, a chunk gathered, and what a source holds by itself. */
const AHEAD_BYTES_MAX = (WINDOW_CHUNKS + 1) * CHUNK_BYTES + CHUNK_BYTES + 128 * 1024;

const sources = (bytes: Buffer): Readable => Readable.from([bytes]);

/** What every message bus must give streams. `connect` is one process's connection to a bus shared by all. */
export const byteStreamsConformance = (name: string, connect: () => MessageBus): void => {
  let stage: Stage;
  let a: StagedStreams;
  let b: StagedStreams;
  let ref: string;
  beforeEach(() => {
    stage = new Stage(connect);
    a = stage.streams();
    b = stage.streams();
    ref = newStreamRef();
  });
  afterEach(async () => {
    const observer = connect();
    try {
      // Whatever a test did, nothing of its streams may stay.
      await eventually(async () => (await observer.channels(`${stage.namespace}:rpc-stream:`)).length === 0);
    } finally {
      await observer.close();
      await stage.close();
    }
  });

  const data = (): string => `${stage.namespace}:rpc-stream:${ref}:data`;
  const credit = (): string => `${stage.namespace}:rpc-stream:${ref}:credit`;
  /** The stream fails and says with what. */
  const failure = (stream: Readable): Promise<unknown> =>
    drain(stream).then(
      () => {
        throw new Error('The stream ended well');
      },
      (error: unknown) => error,
    );
  const firstPiece = (stream: Readable): Promise<unknown> => new Promise((resolve, reject) => stream.once('readable', () => resolve(stream.read())).once('error', reject));

  describe(`byte streams over ${name}: what crosses`, () => {
    test.each([0, 1, 1_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, WINDOW_CHUNKS * CHUNK_BYTES, 5 * 1024 * 1024 + 7])('%i bytes, as they are, whoever begins', async size => {
      const { bytes, hash } = contentOf(size);
      const received = drain(b.streams.receive(ref));
      expect(await a.streams.send(ref, sources(bytes))).toEqual({ bytes: size, complete: true });
      expect(await received).toEqual({ size, hash });

      ref = newStreamRef();
      const sent = a.streams.send(ref, sources(bytes));
      await eventually(async () => (await a.bus.receivers([credit()]))[0] === 1);
      expect(await drain(b.streams.receive(ref))).toEqual({ size, hash });
      expect(await sent).toEqual({ bytes: size, complete: true });
    });

    test('whatever pieces a source gives its bytes in', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 2 * CHUNK_BYTES }).map(size => new Uint8Array(size).fill(size)), fc.constant(null)), { maxLength: 12 }), async pieces => {
          const own = newStreamRef();
          // A null is a moment in which the source has nothing.
          const source = async function* (): AsyncGenerator<Uint8Array> {
            for (const piece of pieces) {
              if (piece === null) await new Promise(resolve => setImmediate(resolve));
              else yield piece;
            }
          };
          const received: Buffer[] = [];
          const sent = a.streams.send(own, Readable.from(source()));
          for await (const piece of b.streams.receive(own) as AsyncIterable<Buffer>) received.push(piece);
          const whole = Buffer.concat(pieces.filter(piece => piece !== null));
          expect(Buffer.concat(received).equals(whole)).toBe(true);
          expect(await sent).toEqual({ bytes: whole.length, complete: true });
        }),
        { numRuns: 60 },
      );
    }, 30_000);

    test('text as its UTF-8, and nothing that is neither bytes nor text', async () => {
      const received = drain(b.streams.receive(ref));
      expect(await a.streams.send(ref, Readable.from(['grü', 'ße']))).toEqual({ bytes: 7, complete: true });
      expect((await received).size).toBe(7);

      ref = newStreamRef();
      const refused = failure(b.streams.receive(ref));
      await expect(a.streams.send(ref, Readable.from([{}]))).rejects.toThrow(TypeError);
      expect(await refused).toBeInstanceOf(GatehouseError);
    });

    test('what a slow source gives, without waiting for a whole chunk', async () => {
      const source = new Readable({ read: () => undefined });
      const stream = b.streams.receive(ref);
      const sent = a.streams.send(ref, source);
      source.push('first');
      expect(String(await firstPiece(stream))).toBe('first');
      source.push('second');
      expect(String(await firstPiece(stream))).toBe('second');
      source.push(null);
      stream.resume();
      expect(await sent).toEqual({ bytes: 11, complete: true });
    });

    test('100 streams at once, both ways', async () => {
      const content = contentOf(CHUNK_BYTES + 1_000);
      const one = async (index: number): Promise<void> => {
        const [from, to] = index % 2 === 0 ? [a, b] : [b, a];
        const own = newStreamRef();
        const [sent, received] = await Promise.all([from.streams.send(own, sources(content.bytes)), drain(to.streams.receive(own))]);
        expect(sent.complete).toBe(true);
        expect(received.hash).toBe(content.hash);
      };
      await Promise.all(Array.from({ length: 100 }, (_, index) => one(index)));
    }, 30_000);

    test('from a process to itself', async () => {
      const { bytes, hash } = contentOf(CHUNK_BYTES);
      const sent = a.streams.send(ref, sources(bytes));
      expect(await drain(a.streams.receive(ref))).toEqual({ size: CHUNK_BYTES, hash });
      expect((await sent).complete).toBe(true);
    });
  });

  describe(`byte streams over ${name}: as slow as its reader`, () => {
    test('a reader that does not read holds the sender after a window', async () => {
      const source = new CountingSource();
      const stream = b.streams.receive(ref);
      const sent = a.streams.send(ref, source);
      await eventually(() => source.taken >= WINDOW_CHUNKS * CHUNK_BYTES);
      // Two counts of receivers: all that was published before has arrived, and it moved nothing.
      for (let turn = 0; turn < 2; turn++) await Promise.all([a.bus.receivers([data()]), b.bus.receivers([data()])]);
      await new Promise(resolve => setTimeout(resolve, 300));
      expect(source.taken).toBeLessThanOrEqual(AHEAD_BYTES_MAX);

      const before = source.taken;
      await firstPiece(stream);
      await eventually(() => source.taken > before);
      expect(source.taken).toBeLessThanOrEqual(AHEAD_BYTES_MAX + 2 * CHUNK_BYTES);
      stream.destroy();
      expect((await sent).complete).toBe(false);
    });

    test('256 MiB pass through a bounded memory', async () => {
      const size = 256 * 1024 * 1024;
      let peak = 0;
      const before = process.memoryUsage().arrayBuffers;
      const sent = a.streams.send(ref, new CountingSource(size));
      let received = 0;
      for await (const piece of b.streams.receive(ref) as AsyncIterable<Buffer>) {
        received += piece.length;
        peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
      }
      expect(received).toBe(size);
      expect(await sent).toEqual({ bytes: size, complete: true });
      // Most of it is garbage not yet collected.
      expect(peak).toBeLessThan(size / 2);
    }, 60_000);
  });

  describe(`byte streams over ${name}: ends before the end`, () => {
    test('a source that fails: its sender gets its error, the receiver what a caller would get', async () => {
      const typed = new GatehouseError('not_found', 'File not found');
      const unknown = new Error('planted cause');
      for (const error of [typed, unknown]) {
        ref = newStreamRef();
        const source = new CountingSource(10 * 1024 * 1024);
        const stream = b.streams.receive(ref);
        const sent = a.streams.send(ref, source);
        await firstPiece(stream);
        source.destroy(error);
        await expect(sent).rejects.toBe(error);
        const seen = (await failure(stream)) as GatehouseError;
        expect(seen).toBeInstanceOf(GatehouseError);
        expect(seen.code).toBe(error === typed ? 'not_found' : 'internal_error');
        expect(JSON.stringify(seen.toWire())).not.toContain('planted');
      }
    });

    test('a source that closes without its end has failed', async () => {
      const source = new CountingSource(10 * 1024 * 1024);
      const stream = b.streams.receive(ref);
      const sent = a.streams.send(ref, source);
      await firstPiece(stream);
      source.destroy();
      await expect(sent).rejects.toThrow('Premature close');
      expect(await failure(stream)).toBeInstanceOf(GatehouseError);
    });

    test('a source that fails before the receiver is there: who comes later finds nobody', async () => {
      await eventually(() => a.bus.state === 'up');
      const reason = new Error('planted cause');
      const source = new CountingSource();
      const sent = a.streams.send(ref, source);
      source.destroy(reason);
      await expect(sent).rejects.toBe(reason);
      await eventually(async () => (await a.bus.receivers([credit()]))[0] === 0);
      await expectError(drain(stage.streams({ streamArrivalMs: 300 }).streams.receive(ref)), 'internal_error', 503);
    });

    test('a receiver that stops is no failure; the source is destroyed', async () => {
      const source = new CountingSource();
      const stream = b.streams.receive(ref);
      const sent = a.streams.send(ref, source);
      await firstPiece(stream);
      stream.destroy();
      const { bytes, complete } = await sent;
      expect(complete).toBe(false);
      expect(bytes).toBeGreaterThan(0);
      expect(source.destroyed).toBe(true);
    });

    test('a sender who gives up gets his own reason, the receiver a 503', async () => {
      const controller = new AbortController();
      const source = new CountingSource();
      const stream = b.streams.receive(ref);
      const sent = a.streams.send(ref, source, controller.signal);
      await firstPiece(stream);
      const reason = new Error('changed my mind');
      controller.abort(reason);
      await expect(sent).rejects.toBe(reason);
      expect(source.destroyed).toBe(true);
      await expectError(drain(stream), 'internal_error', 503);
    });

    test('a receiver who gives up gets his own reason, the sender stops', async () => {
      const controller = new AbortController();
      const stream = b.streams.receive(ref, controller.signal);
      const sent = a.streams.send(ref, new CountingSource());
      await firstPiece(stream);
      const reason = new Error('changed my mind');
      controller.abort(reason);
      expect(await failure(stream)).toBe(reason);
      expect((await sent).complete).toBe(false);
    });

    test('who gave up before the beginning never begins', async () => {
      const reason = new Error('never wanted');
      const source = new CountingSource();
      await expect(a.streams.send(ref, source, AbortSignal.abort(reason))).rejects.toBe(reason);
      expect(source.destroyed).toBe(true);
      expect(await failure(b.streams.receive(ref, AbortSignal.abort(reason)))).toBe(reason);
    });

    test('a receiver that dies: 503 within two seconds', async () => {
      const stream = b.streams.receive(ref);
      const source = new CountingSource();
      const sent = a.streams.send(ref, source);
      await firstPiece(stream);
      await b.kill();
      const died = performance.now();
      await expectError(sent, 'internal_error', 503);
      expect(performance.now() - died).toBeLessThan(2_000);
      expect(source.destroyed).toBe(true);
    });

    test('a sender that dies: 503 within two seconds, also while the reader waits', async () => {
      const stream = b.streams.receive(ref);
      const source = new Readable({ read: () => undefined });
      source.push('begun');
      const sent = a.streams.send(ref, source);
      sent.catch(() => undefined);
      await firstPiece(stream);
      await a.kill();
      const died = performance.now();
      await expectError(drain(stream), 'internal_error', 503);
      expect(performance.now() - died).toBeLessThan(2_000);
      source.destroy();
    });

    test('a process that stops tells the other ends at once, and begins nothing more', async () => {
      const stream = b.streams.receive(ref);
      const sent = a.streams.send(ref, new CountingSource());
      await firstPiece(stream);
      await Promise.all([b.streams.close(), expectError(sent, 'internal_error', 503), expectError(drain(stream), 'internal_error', 503)]);
      await expectError(drain(b.streams.receive(newStreamRef())), 'internal_error', 503);
      await expectError(b.streams.send(newStreamRef(), sources(Buffer.alloc(1))), 'internal_error', 503);
    });

    test('who was counted as absent, and came before that was heard, is not gone', async () => {
      const bus = connect();
      let asked = (): void => undefined;
      let answer = (): void => undefined;
      const question = new Promise<void>(resolve => (asked = resolve));
      const heard = new Promise<void>(resolve => (answer = resolve));
      const receivers = async (channels: readonly string[]): Promise<number[]> => {
        const counts = await bus.receivers(channels);
        asked();
        await heard;
        return counts;
      };
      const late = stage.streams({ bus: Object.assign(Object.create(bus) as MessageBus, { receivers }) });
      try {
        const content = late.streams.receive(ref);
        await question;
        let goOn = (): void => undefined;
        const held = new Promise<void>(resolve => (goOn = resolve));
        const sent = a.streams.send(ref, Readable.from((async function* () {
          yield Buffer.alloc(CHUNK_BYTES);
          await held;
          yield Buffer.alloc(CHUNK_BYTES);
        })()));
        const first = (await firstPiece(content)) as Buffer;
        answer();
        await new Promise(resolve => setImmediate(resolve));
        goOn();
        expect(first.length + (await drain(content)).size).toBe(2 * CHUNK_BYTES);
        expect(await sent).toMatchObject({ complete: true });
      } finally {
        await late.streams.close();
        await bus.close();
      }
    });

    test('nobody comes: 503 on either side', async () => {
      const lonely = stage.streams({ streamArrivalMs: 300 }).streams;
      const source = new CountingSource();
      await Promise.all([expectError(lonely.send(ref, source), 'internal_error', 503), expectError(drain(lonely.receive(newStreamRef())), 'internal_error', 503)]);
      expect(source.taken).toBeLessThanOrEqual(2 * 64 * 1024);
      expect(source.destroyed).toBe(true);
    });

    test('nothing moves: 503 on both sides, whoever of them stands still', async () => {
      const impatient = stage.streams({ streamStallMs: 300 }).streams;
      const unread = b.streams.receive(ref);
      await expectError(impatient.send(ref, new CountingSource()), 'internal_error', 503);
      await expectError(drain(unread), 'internal_error', 503);

      ref = newStreamRef();
      const silent = new Readable({ read: () => undefined });
      const sent = expectError(a.streams.send(ref, silent), 'internal_error', 503);
      await expectError(drain(impatient.receive(ref)), 'internal_error', 503);
      await sent;
    });

    test('a failure that nobody looks at ends no process', async () => {
      const uncaught: unknown[] = [];
      const note = (error: unknown): unknown => uncaught.push(error);
      process.on('unhandledRejection', note).on('uncaughtException', note);
      const lonely = stage.streams({ streamArrivalMs: 1 }).streams;
      const stream = lonely.receive(ref);
      void lonely.send(newStreamRef(), new CountingSource());
      await eventually(() => stream.destroyed);
      await new Promise(resolve => setImmediate(resolve));
      process.off('unhandledRejection', note).off('uncaughtException', note);
      expect(uncaught).toEqual([]);
    });
  });

  describe(`byte streams over ${name}: bounds`, () => {
    test('one stream too many is told to come back; an ended one makes room', async () => {
      const small = stage.streams({ streamsMax: 1 }).streams;
      const stream = small.receive(ref);
      expect((await expectError(small.send(newStreamRef(), sources(Buffer.alloc(1))), 'internal_error', 503)).retryAfter).toBe(1);
      stream.destroy();
      const next = newStreamRef();
      const received = drain(a.streams.receive(next));
      expect((await small.send(next, sources(Buffer.alloc(1)))).complete).toBe(true);
      expect((await received).size).toBe(1);
    });

    test('a name is a version 4 uuid, and used once at a time', async () => {
      for (const text of ['', 'a:b', '*', '0192f0c1-2345-7abc-8def-0123456789ab']) {
        expect(isStreamRef(text)).toBe(false);
        await expectError(a.streams.send(text, sources(Buffer.alloc(1))), 'internal_error', 500);
        await expectError(drain(a.streams.receive(text)), 'internal_error', 500);
      }
      const first = a.streams.receive(ref);
      await expectError(drain(a.streams.receive(ref)), 'internal_error', 500);
      const sent = b.streams.send(ref, sources(Buffer.from('one')));
      expect((await drain(first)).size).toBe(3);
      expect((await sent).complete).toBe(true);
    });
  });

  describe(`byte streams over ${name}: hostile traffic`, () => {
    test('garbage, forgeries and repetitions change nothing, and nothing can be read', async () => {
      const stranger = connect();
      const outsider = new EncryptedBus(stranger, { transportKey: Buffer.alloc(32), logger: stage.logger });
      const captured: { readonly channel: string; readonly message: Buffer }[] = [];
      for (const channel of [data(), credit()]) await stranger.subscribe(channel, message => captured.push({ channel, message }));

      // Pieces below the bound of inline messages, so that the stranger sees each chunk itself.
      const piece = Buffer.alloc(10_000, 'planted bytes ');
      const source = new Readable({ read: () => undefined });
      const stream = b.streams.receive(ref);
      const sent = a.streams.send(ref, source);
      const received: Buffer[] = [];
      for (let turn = 0; turn < 3; turn++) {
        source.push(piece);
        received.push((await firstPiece(stream)) as Buffer);
        for (const { channel, message } of captured.splice(0)) {
          expect(message.toString('latin1')).not.toContain('planted');
          const other = channel === data() ? credit() : data();
          await stranger.publish(channel, message);
          await stranger.publish(other, message);
          await stranger.publish(channel, message.subarray(0, -1));
          await stranger.publish(channel, Buffer.from(`@${channel}:parcel:none`));
        }
        captured.length = 0;
        for (const kind of ['done', 'stopped', 'broken'] as const) await outsider.publish(credit(), encodeFrame({ kind }));
        await outsider.publish(data(), encodeFrame({ kind: 'end', sequence: 0 }));
      }
      source.push(null);
      expect((await drain(stream)).size).toBe(0);
      expect(Buffer.concat(received).equals(Buffer.concat([piece, piece, piece]))).toBe(true);
      expect(await sent).toEqual({ bytes: 3 * piece.length, complete: true });
      await stranger.close();
    });

    test('frames that no other end sends are dropped', async () => {
      const insider = stage.insider();
      const source = new CountingSource();
      const stream = b.streams.receive(ref);
      const sent = a.streams.send(ref, source);
      const first = (await firstPiece(stream)) as Buffer;
      const foreign = [Buffer.from('foreign')];
      for (const sequence of [0, WINDOW_CHUNKS * 2, 2 ** 48 - 1]) await insider.publish(data(), encodeFrame({ kind: 'chunk', sequence, pieces: foreign }));
      await insider.publish(data(), encodeFrame({ kind: 'end', sequence: 0 }));
      await insider.publish(data(), encodeFrame({ kind: 'end', sequence: 2 ** 48 - 1 }));
      await insider.publish(credit(), encodeFrame({ kind: 'grant', sequence: 2 ** 48 - 1 }));
      await insider.publish(credit(), encodeFrame({ kind: 'done' }));
      for (const channel of [data(), credit()]) for (const bytes of [Buffer.alloc(0), Buffer.alloc(7, 9), Buffer.alloc(3), Buffer.alloc(8, 3)]) await insider.publish(channel, bytes);
      await insider.receivers([data()]);
      expect(source.taken).toBeLessThanOrEqual(AHEAD_BYTES_MAX + 2 * CHUNK_BYTES);

      const expected = new CountingSource(2 ** 22);
      const [received, wanted] = [[first], [] as Buffer[]];
      for await (const piece of expected as AsyncIterable<Buffer>) wanted.push(piece);
      for await (const piece of stream as AsyncIterable<Buffer>) {
        received.push(piece);
        if (Buffer.concat(received).length >= 2 ** 22) break;
      }
      expect(Buffer.concat(received).subarray(0, 2 ** 22).equals(Buffer.concat(wanted))).toBe(true);
      expect((await sent).complete).toBe(false);
      await insider.close();
    });
  });
};
