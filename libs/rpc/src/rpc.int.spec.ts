import { RedisBus } from './bus/redis-bus.js';
import { rpcConformance } from './rpc.conformance.js';
import { redisUrl } from './testing/redis-server.js';
import { RecordingLogger } from './testing/stage.js';

rpcConformance('Redis', () => new RedisBus({ url: redisUrl(), logger: new RecordingLogger() }));
