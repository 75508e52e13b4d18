// A strict scanner for the JSON in a safetensors header. JSON.parse would take 4.0 for an integer, the last of two equal keys, lone surrogates and
// integers beyond 2^53 without a word; each of these is an error here. It walks the text and lets the caller build what it wants.
import { FerroError } from '../errors';

const MAX_DEPTH = 128;

export class StrictJson {
  readonly #name: string;
  readonly #text: string;
  #at = 0;

  /** @param name the file, for messages */
  constructor(name: string, text: string) {
    this.#name = name;
    this.#text = text;
  }

  /** An error at the current position. */
  error(rule: string): FerroError {
    const rest = this.#text.slice(this.#at, this.#at + 20);
    return new FerroError(
      'INVALID_FILE',
      `${this.#name}: ${rule}, got ${rest === '' ? 'its end' : JSON.stringify(rest)} at character ${this.#at} of the header`,
    );
  }

  /** Nothing but white space may follow. */
  end(): void {
    if (this.#peek() !== '') throw this.error('nothing may follow the JSON');
  }

  /** An object: `member` is called at each value, which it must consume. Keys must differ. */
  object(what: string, member: (key: string) => void): void {
    if (this.#peek() !== '{') throw this.error(`${what} must be an object`);
    this.#at++;
    const keys = new Set<string>();
    if (this.#peek() === '}') {
      this.#at++;
      return;
    }
    for (;;) {
      this.#peek();
      const key = this.string(`a key of ${what}`);
      if (keys.has(key))
        throw new FerroError('INVALID_FILE', `${this.#name}: keys must differ, got ${JSON.stringify(key)} twice in ${what}`);
      keys.add(key);
      if (this.#peek() !== ':') throw this.error('a colon must follow a key');
      this.#at++;
      this.#peek();
      member(key);
      if (!this.#more('}')) return;
    }
  }

  /** A list: `item` is called at each element, which it must consume. */
  list(what: string, item: () => void): void {
    if (this.#peek() !== '[') throw this.error(`${what} must be a list`);
    this.#at++;
    if (this.#peek() === ']') {
      this.#at++;
      return;
    }
    do {
      this.#peek();
      item();
    } while (this.#more(']'));
  }

  /** A string. Raw control characters, unknown escapes and lone surrogates are errors. */
  string(what: string): string {
    if (this.#peek() !== '"') throw this.error(`${what} must be a string`);
    this.#at++;
    let result = '';
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (Number.isNaN(code) || code < 0x20) throw this.error(`${what} must be a whole string without control characters`);
      if (code === 0x22) break;
      result += code === 0x5c ? this.#escape() : this.#text[this.#at++];
    }
    this.#at++;
    // A Unicode-aware pattern sees a surrogate only where it has no partner.
    if (/\p{Surrogate}/u.test(result)) throw this.error(`${what} must be well-formed Unicode before this point`);
    return result;
  }

  /** A non-negative integer below 2^53, written without sign, fraction or exponent. */
  integer(what: string): number {
    this.#peek();
    const match = this.#match(/(?:0|[1-9][0-9]*)(?![0-9.eE])/y);
    const value = Number(match);
    if (match === null || !Number.isSafeInteger(value)) throw this.error(`${what} must be an integer from 0 to 2^53 − 1`);
    this.#at += match.length;
    return value;
  }

  /** True, and consumed, if `null` comes next. */
  takeNull(): boolean {
    this.#peek();
    const found = this.#text.startsWith('null', this.#at);
    if (found) this.#at += 4;
    return found;
  }

  /** Any value, checked and dropped. */
  skip(depth = 1): void {
    if (depth > MAX_DEPTH) throw this.error(`values must be nested at most ${MAX_DEPTH} deep`);
    const next = this.#peek();
    if (next === '{') this.object('a value', () => this.skip(depth + 1));
    else if (next === '[') this.list('a value', () => this.skip(depth + 1));
    else if (next === '"') this.string('a value');
    else this.#skipScalar();
  }

  #skipScalar(): void {
    const match = this.#match(/true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y);
    if (match === null) throw this.error('a value must be JSON');
    this.#at += match.length;
  }

  /** The next character after white space; '' at the end. */
  #peek(): string {
    while (this.#at < this.#text.length && ' \t\n\r'.includes(this.#text[this.#at])) this.#at++;
    return this.#text[this.#at] ?? '';
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0] ?? null;
  }

  /** After an element: true if another follows, false if the closing bracket came. */
  #more(close: string): boolean {
    const next = this.#peek();
    if (next !== ',' && next !== close) throw this.error(`a comma or ${close} must follow`);
    this.#at++;
    return next === ',';
  }

  #escape(): string {
    const letter = this.#text[this.#at + 1] ?? '';
    const simple = new Map([
      ['"', '"'],
      ['\\', '\\'],
      ['/', '/'],
      ['b', '\b'],
      ['f', '\f'],
      ['n', '\n'],
      ['r', '\r'],
      ['t', '\t'],
    ]).get(letter);
    if (simple !== undefined) {
      this.#at += 2;
      return simple;
    }
    const hex = this.#match(/\\u[0-9a-fA-F]{4}/y);
    if (hex === null) throw this.error('a backslash must begin one of JSON’s escapes');
    this.#at += 6;
    return String.fromCharCode(Number.parseInt(hex.slice(2), 16));
  }
}
