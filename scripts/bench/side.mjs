// One side of a comparison: a program that was started and warmed up and then takes turns (the lines of torch_step.py and ours.mjs). Knows neither.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { ROOT } from '../lib/run.mjs';

/** A running side; `start` makes one. */
export class Side {
  #child;
  #lines;
  #errors = '';

  constructor(child) {
    this.#child = child;
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    child.stdin.on('error', () => {}); // told by the lines that do not come
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /**
   * Starts a program and waits until it is ready.
   * @param {{ program: string, args: string[], env?: Record<string, string | undefined> }} command
   * @returns {Promise<{ side: Side, ready: object }>}
   */
  static async start({ program, args, env = {} }) {
    const merged = Object.fromEntries(Object.entries({ ...process.env, ...env }).filter(([, value]) => value !== undefined));
    const child = spawn(program, args, { cwd: ROOT, env: merged, stdio: ['pipe', 'pipe', 'pipe'] });
    const failed = new Promise((_, reject) => child.on('error', reject));
    const side = new Side(child);
    const { ready } = await Promise.race([side.#message(), failed]);
    return { side, ready };
  }

  async #message() {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`it ended without an answer: ${this.#errors.trim().split('\n').slice(-6).join(' | ')}`);
      if (!value.startsWith('{')) continue;
      const message = JSON.parse(value);
      if (message.failed !== undefined) throw new Error(message.failed);
      return message;
    }
  }

  /** Runs some steps. @returns {Promise<{ ms: number[], losses: number[] }>} */
  async steps(count) {
    this.#child.stdin.write(`${count}\n`);
    return this.#message();
  }

  /** Ends the program and waits for its end. */
  async stop() {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null || this.#child.pid === undefined) return;
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await closed;
    clearTimeout(timer);
  }
}
