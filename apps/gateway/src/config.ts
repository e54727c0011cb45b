import { commonConfig, databaseConfig, flag, integer, list, readConfig, text } from '@gatehouse/platform';
import { DEFAULT_POLICIES, type Policies } from './limits/policies.js';
import type { Policy } from './limits/gcra.js';
import type { CorsOrigins } from './edge/cors.js';

const count = integer({ min: 1, max: 1_000_000_000 });
const limitSpecs = {
  RATE_LIMIT_DEFAULT: count({ default: DEFAULT_POLICIES.default.limit, desc: 'requests per window of one API key' }),
  RATE_LIMIT_DEFAULT_BURST: count({ default: DEFAULT_POLICIES.default.burst, desc: 'of them at once' }),
  RATE_LIMIT_CREATE: count({ default: DEFAULT_POLICIES.create.limit, desc: 'sandboxes and runs per window of one API key' }),
  RATE_LIMIT_CREATE_BURST: count({ default: DEFAULT_POLICIES.create.burst, desc: 'of them at once' }),
  RATE_LIMIT_TEAM: count({ default: DEFAULT_POLICIES.team.limit, desc: 'requests per window of all keys of a team' }),
  RATE_LIMIT_TEAM_BURST: count({ default: DEFAULT_POLICIES.team.burst, desc: 'of them at once' }),
  RATE_LIMIT_AUTH_FAILURE: count({ default: DEFAULT_POLICIES.authFailure.limit, desc: 'failing requests per window of one client address' }),
  RATE_LIMIT_AUTH_FAILURE_BURST: count({ default: DEFAULT_POLICIES.authFailure.burst, desc: 'of them at once' }),
  RATE_LIMIT_WINDOW_SECONDS: integer({ min: 1, max: 86_400 })({ default: 60, desc: 'the window all of these are given for' }),
};

export const gatewayConfigSpecs = {
  ...commonConfig,
  ...databaseConfig,
  ...limitSpecs,
  PORT: integer({ min: 0, max: 65_535 })({ default: 3000, desc: 'port the API is served on' }),
  HOST: text({ default: '0.0.0.0', desc: 'address the API is served on' }),
  CORS_ORIGINS: list({ default: ['*'], desc: '* or the origins whose pages may call, separated by commas' }),
  TRUST_PROXY: list({ default: [], desc: 'addresses or CIDR ranges of proxies whose X-Forwarded-For is believed, separated by commas' }),
  GATEWAY_REPLICAS: integer({ min: 1, max: 10_000 })({ default: 1, desc: 'expected gateway processes; each one limits at its share while Redis is away' }),
  // Less than the minute after which a stream gives up: of a client that is silent the client is to be told.
  UPLOAD_SILENCE_SECONDS: integer({ min: 1, max: 50 })({ default: 45, desc: 'seconds for which a client that uploads a file may send nothing' }),
  LOG_REQUESTS: flag({ default: false, desc: 'whether every request leaves a line in the log; failures of ours always do' }),
};

export const readGatewayConfig = (environment: NodeJS.ProcessEnv) => readConfig(environment, gatewayConfigSpecs);
export type GatewayConfig = ReturnType<typeof readGatewayConfig>;

export const policiesOf = (config: GatewayConfig): Policies => {
  const policy = (name: Policy['name'], limit: number, burst: number): Policy => ({ name, limit, burst, windowSeconds: config.RATE_LIMIT_WINDOW_SECONDS });
  return {
    default: policy('default', config.RATE_LIMIT_DEFAULT, config.RATE_LIMIT_DEFAULT_BURST),
    create: policy('create', config.RATE_LIMIT_CREATE, config.RATE_LIMIT_CREATE_BURST),
    team: policy('team', config.RATE_LIMIT_TEAM, config.RATE_LIMIT_TEAM_BURST),
    authFailure: policy('auth-failure', config.RATE_LIMIT_AUTH_FAILURE, config.RATE_LIMIT_AUTH_FAILURE_BURST),
  };
};

export const corsOriginsOf = ({ CORS_ORIGINS }: GatewayConfig): CorsOrigins => (CORS_ORIGINS.includes('*') ? '*' : new Set(CORS_ORIGINS));
