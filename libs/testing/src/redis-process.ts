import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';

/** A real Redis of a test's own, to be killed and started again. */
export interface RedisProcess {
  readonly url: string;
  start(): Promise<void>;
  /** kill -9: no goodbye to anyone. */
  kill(): Promise<void>;
}

const START_DEADLINE_MS = 10_000;

export const createRedisProcess = async (): Promise<RedisProcess> => {
  const port = await freePort();
  let child: ChildProcess | undefined;
  return {
    url: `redis://127.0.0.1:${port}`,
    start: async () => {
      const { REDIS_SERVER_BIN: bin = 'redis-server', REDIS_SERVER_LD_LIBRARY_PATH: libraryPath } = process.env;
      const started = spawn(bin, ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, ...(libraryPath === undefined ? {} : { LD_LIBRARY_PATH: libraryPath }) },
      });
      child = started;
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('redis-server does not say that it is ready')), START_DEADLINE_MS);
        started.once('error', reject);
        started.once('exit', code => reject(new Error(`redis-server ended with ${code}`)));
        started.stdout.on('data', (chunk: Buffer) => {
          if (!chunk.toString().includes('Ready to accept connections')) return;
          clearTimeout(timer);
          started.removeAllListeners('exit');
          resolve();
        });
      });
    },
    kill: async () => {
      const running = child;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      const gone = new Promise(resolve => running.once('exit', resolve));
      running.kill('SIGKILL');
      await gone;
    },
  };
};

const freePort = async (): Promise<number> =>
  new Promise(resolve => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
