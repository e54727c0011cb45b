import { hasEnded } from './children.mjs';
import { splitLines } from './log-lines.mjs';
import { restartPolicy } from './restart-policy.mjs';
import { root } from './workspace.mjs';

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
  /** @type {Map<string, { child: import('node:child_process').ChildProcess, timer?: NodeJS.Timeout }>} */
  #running = new Map();
  #stopping = false;

  /**
   * @param {import('./children.mjs').Children} children
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
    const command = [process.execPath, '--enable-source-maps', `apps/${app.name}/dist/main.js`];
    const child = this.#children.spawn(app.name, command, { cwd: root, env: app.env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#running.set(app.name, { child });
    const last = this.#follow(app, child);
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

  #follow(app, child) {
    const last = [];
    const onLine = line => {
      const text = this.#format(app.name, line);
      last.push(text);
      if (last.length > KEPT_LINES) last.shift();
      this.#write(text);
    };
    splitLines(child.stdout, onLine);
    splitLines(child.stderr, onLine);
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
