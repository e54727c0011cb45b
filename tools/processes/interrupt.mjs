import { identify, isRunning, nameAndParent } from './process-identity.mjs';

const AGAIN_AFTER_MS = 1_000;
const PARENT_CHECK_MS = 500;
const SHELLS = new Set(['sh', 'dash', 'bash', 'ash']);

/**
 * Calls `stop` once when the command should end: Ctrl-C, a polite kill, a closed terminal, nobody left to read the output, or
 * npm gone from above us without a word. Calls `force` when asked again a second later; sooner it is the same Ctrl-C, which
 * the terminal and npm both pass on.
 *
 * @param {{ stop: (why: string) => void, force: () => void }} listeners
 */
export function onInterrupt({ stop, force }) {
  let since;
  const interrupt = why => {
    if (since === undefined) {
      since = performance.now();
      return stop(why);
    }
    if (performance.now() - since > AGAIN_AFTER_MS) force();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => interrupt(name));
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => interrupt('output closed'));
  if (process.env.npm_lifecycle_event) watch(processesAbove(), () => interrupt('npm ended'));
}

/** A polite kill of npm reaches the shell between npm and this process, and goes no further. */
const processesAbove = () => [process.ppid, ...shellParent(process.ppid)].filter(pid => pid > 1).map(identify);

function shellParent(pid) {
  const { name, ppid } = nameAndParent(pid) ?? {};
  return SHELLS.has(name) ? [ppid] : [];
}

function watch(processes, gone) {
  const timer = setInterval(() => {
    if (processes.every(each => each && isRunning(each))) return;
    clearInterval(timer);
    gone();
  }, PARENT_CHECK_MS);
  timer.unref();
}
