import { RedisBus } from '../bus/redis-bus.js';
import { ByteStreams } from '../streams/byte-streams.js';
import { CountingSource, drain } from './byte-sources.js';

/** One end of a stream without an end, in a process of its own: `stream-process.ts <redis url> <namespace> <transport key in hex> send|receive <ref>`. */
const [url = '', namespace = '', transportKey = '', part = '', ref = ''] = process.argv.slice(2);
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const streams = new ByteStreams({ bus: new RedisBus({ url, logger: silent }), namespace, transportKey: Buffer.from(transportKey, 'hex'), logger: silent });
await (part === 'send' ? streams.send(ref, new CountingSource()) : drain(streams.receive(ref)));
