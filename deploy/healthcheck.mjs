// Exit code 0 when the process of this container works. A gateway answers over HTTP. The others have no port: an instance that is
// there and not draining stands in Redis' own table of subscriptions, under its name.
import { hostname } from 'node:os';
import { Redis } from 'ioredis';

const DEADLINE_MS = 4_000;
const { GATEHOUSE_SERVICE: service, NODE_ID, INSTANCE_ID, REDIS_URL = '', REDIS_NAMESPACE = 'gatehouse', PORT = '3000' } = process.env;
// What entrypoint.sh exports does not reach a health check, so its default stands here again. A sandbox node goes by its own name.
const instance = service === 'sandbox' ? NODE_ID : INSTANCE_ID || `${service}-${hostname()}`;

async function gatewayAnswers() {
  const response = await fetch(`http://127.0.0.1:${PORT}/health`, { signal: AbortSignal.timeout(DEADLINE_MS) });
  return response.ok;
}

async function instanceListens() {
  const redis = new Redis(REDIS_URL, { connectTimeout: DEADLINE_MS, commandTimeout: DEADLINE_MS, maxRetriesPerRequest: 0, retryStrategy: null });
  redis.on('error', error => console.error(error.message));
  try {
    const channels = await redis.pubsub('CHANNELS', `${REDIS_NAMESPACE}:rpc:${service}:${instance}:*`);
    return channels.length > 0;
  } finally {
    redis.disconnect();
  }
}

try {
  const healthy = await (service === 'gateway' ? gatewayAnswers() : instanceListens());
  if (!healthy) console.error(`${instance} does not answer`);
  process.exitCode = healthy ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
