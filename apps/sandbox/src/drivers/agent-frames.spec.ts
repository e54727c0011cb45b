import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AGENT_FRAMES, encodeFrame, FrameDecoder, FrameError, FrameType } from './agent-frames.js';

const frames = fc.array(fc.record({ type: fc.constantFrom(...AGENT_FRAMES.keys()), payload: fc.uint8Array({ maxLength: 300 }) }), { maxLength: 20 });

/** Cuts bytes at the given places, whatever they are. */
function chop(bytes: Buffer, cuts: number[]): Buffer[] {
  const places = [0, ...cuts.map(cut => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}

describe('the frame codec', () => {
  test('gives the same frames however the stream is chopped', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(), { maxLength: 50 }), (sent, cuts) => {
        const bytes = Buffer.concat(sent.map(({ type, payload }) => encodeFrame(type, payload)));
        const decoder = new FrameDecoder(AGENT_FRAMES);
        const received = chop(bytes, cuts).flatMap(chunk => decoder.push(chunk));
        expect(received).toEqual(sent.map(({ type, payload }) => ({ type, payload: Buffer.from(payload) })));
      }),
    );
  });

  test('refuses every length over the limit of its type before allocating it', () => {
    fc.assert(
      fc.property(fc.constantFrom(...AGENT_FRAMES.entries()), fc.integer({ min: 1, max: 0xffffffff }), ([type, maxBytes], excess) => {
        const header = Buffer.alloc(5);
        header.writeUInt8(type);
        header.writeUInt32BE(Math.min(maxBytes + excess, 0xffffffff), 1);
        expect(() => new FrameDecoder(AGENT_FRAMES).push(header)).toThrow(FrameError);
      }),
    );
  });

  test('refuses every type an agent does not send', () => {
    for (let type = 0; type < 256; type++) {
      if (!AGENT_FRAMES.has(type)) expect(() => new FrameDecoder(AGENT_FRAMES).push(Buffer.from([type, 0, 0, 0, 0]))).toThrow(FrameError);
    }
  });

  test('survives any garbage with frames or a refusal, never another error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), garbage => {
        try {
          new FrameDecoder(AGENT_FRAMES).push(Buffer.from(garbage));
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }),
    );
  });

  test('speaks the numbers the agent speaks', async () => {
    const agent = (await import('../../dist/agent/frames.cjs' as string)) as { FrameType: typeof FrameType; HEADER_BYTES: number };
    expect(agent.FrameType).toEqual(FrameType);
    expect(encodeFrame(FrameType.exit)).toHaveLength(agent.HEADER_BYTES);
  });
});
