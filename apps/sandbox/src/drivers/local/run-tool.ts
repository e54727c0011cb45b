import { execFile } from 'node:child_process';

/** All that programs of the host get to see of this process. */
export const TOOL_ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

/**
 * Runs a program of the host to its end and answers what it printed.
 * @throws with the end of what it printed when its exit code is none of the `accepted`, or when it takes too long
 */
export function runTool(program: string, args: readonly string[], timeoutMs: number, accepted: readonly number[] = [0]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: '/', env: TOOL_ENV, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 1024 * 1024 } as const;
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error && !accepted.includes(error.code as number)) reject(new Error(`${program} ${args[0] ?? ''}: ${error.killed ? `no end within ${timeoutMs} ms` : `${stderr}${stdout}`.trim().slice(-1000) || error.message}`));
      else resolve(stdout);
    });
  });
}
