import { hasEnded } from '../processes/children.mjs';
import { splitLines } from './log-lines.mjs';
import { restartPolicy } from './restart-policy.mjs';
import { root } from '../workspace.mjs';

const KEPT_LINES = 15;
const STOP_DEADLINE_MS = 10_000;
/** A dead process's output may still be in the pipe, and what it started may hold the pipe open. */
const LAST_WORDS_MS = 300;

/**
 * Keeps processes running: starts each, starts it again when it dies, and gives up when one dies too often.
 */
export class Supervisor {
  #children;
  #format;
  #write;
  #giveUp;
  /** @type {Map<string, { child: import('node:child_process').ChildProcess, ready: boolean, timer?: NodeJS.Timeout }>} */
  #running = new Map();
  #stopping = false;

  /**
   * @param {import('../processes/children.mjs').Children} children
   * @param {{ format: (name: string, line: string) => string, write: (text: string) => void, giveUp: () => void }} options
   */
  constructor(children, { format, write, giveUp }) {
    this.#children = children;
    this.#format = format;
    this.#write = write;
    this.#giveUp = giveUp;
  }

  /** @param {import('./apps.mjs').App} app */
  start(app, nextDelayMs = restartPolicy()) {
    const command = [process.execPath, `apps/${app.name}/dist/main.js`];
    const child = this.#children.spawn(app.name, command, { cwd: root, env: app.env, stdio: ['ignore', 'pipe', 'pipe'] });
    const entry = { child, ready: false };
    this.#running.set(app.name, entry);
    const last = this.#follow(app, entry);
    child.once('error', error => this.#write(`${app.name} cannot be started: ${error.message}`));
    child.once('exit', async (code, signal) => {
      await Promise.race([new Promise(resolve => child.once('close', resolve)), new Promise(resolve => setTimeout(resolve, LAST_WORDS_MS))]);
      if (!this.#stopping) this.#died(app, signal ? `was ended by ${signal}` : `ended with code ${code}`, last, nextDelayMs);
    });
  }

  /** @param {string[][]} order groups of names, stopped one after the other */
  async stop(order) {
    this.#stopping = true;
    for (const { timer } of this.#running.values()) clearTimeout(timer);
    for (const group of order) {
      const entries = group.map(name => this.#running.get(name)).filter(entry => entry && !hasEnded(entry.child));
      await Promise.all(entries.map(({ child }) => this.#children.stop(child, { deadlineMs: STOP_DEADLINE_MS })));
    }
  }

  /** Whether each process has said, in its log, that it is ready. */
  get allReady() {
    return [...this.#running.values()].every(({ ready }) => ready);
  }

  #follow(app, entry) {
    const last = [];
    const onLine = line => {
      entry.ready ||= line.includes('"msg":"ready"');
      const text = this.#format(app.name, line);
      last.push(text);
      if (last.length > KEPT_LINES) last.shift();
      this.#write(text);
    };
    splitLines(entry.child.stdout, onLine);
    splitLines(entry.child.stderr, onLine);
    return last;
  }

  #died(app, how, last, nextDelayMs) {
    const said = last.length > 0 ? ` It said last:\n${last.map(line => `  | ${line}`).join('\n')}` : '';
    const delayMs = nextDelayMs();
    if (delayMs === undefined) {
      this.#write(`${app.name} ${how}, too often to go on.${said}`);
      return this.#giveUp();
    }
    this.#write(`${app.name} ${how}, and is started again in ${delayMs} ms.${said}`);
    this.#running.get(app.name).timer = setTimeout(() => this.start(app, nextDelayMs), delayMs);
  }
}
