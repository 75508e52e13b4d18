// Where text goes: results to standard output, everything else to standard error. With --json the result is one JSON object with snake_case keys.

import { snakeCase } from '../options';

/** The two streams, as the commands see them. */
export class Output {
  readonly json: boolean;
  readonly #out: NodeJS.WritableStream;
  readonly #err: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };

  constructor(json: boolean, out: NodeJS.WritableStream = process.stdout, err: NodeJS.WritableStream = process.stderr) {
    this.json = json;
    this.#out = out;
    this.#err = err;
  }

  /** True when standard error is a terminal that can rewrite a line. */
  get live(): boolean {
    return this.#err.isTTY === true && process.env.TERM !== 'dumb';
  }

  /** Columns of that terminal. */
  get columns(): number {
    return this.#err.columns ?? 80;
  }

  /** A line for people, on standard error. */
  note(text: string): void {
    this.#err.write(`${text}\n`);
  }

  /** Text on standard error without a line end (the progress line). */
  raw(text: string): void {
    this.#err.write(text);
  }

  /** A piece of the result as it comes; nothing with --json. */
  piece(text: string): void {
    if (!this.json) this.#out.write(text);
  }

  /** Text on standard output as it is; waits while the reader is slow. */
  async write(text: string): Promise<void> {
    if (!this.#out.write(text)) await new Promise((resolve) => this.#out.once('drain', resolve));
  }

  /** The result: the object with --json, else the text. */
  result(object: Record<string, unknown>, text: string): void {
    this.#out.write(this.json ? `${JSON.stringify(snakeKeys(object))}\n` : `${text}\n`);
  }
}

/** The same plain data with snake_case keys; undefined values vanish as in JSON. */
export function snakeKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [snakeCase(key), snakeKeys(item)]));
}
