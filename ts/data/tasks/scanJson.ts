// Checks that a text is one JSON value (RFC 8259) and finds where the members of its outermost object begin. JSON.parse reads the value; what it says about a
// fault differs between JavaScript engines and often lacks the place, so the place and the rule come from here.

/** What is wrong with a text, and where. */
export interface JsonFault {
  /** Offset in UTF-16 units. */
  readonly at: number;
  readonly rule: string;
  /** What stands there. */
  readonly got: string;
}

/** A sound text: offsets of the values of the outermost object's members by name, null where the value is no object. */
export interface JsonLayout {
  readonly members: ReadonlyMap<string, number> | null;
}

/** Lists and objects may nest this deep, as in every JSON file this library reads (ts/json.ts). */
const MAX_DEPTH = 128;

const SPACE = /[ \t\n\r]*/y;
/** All but the quote, the backslash and control characters. */
const PLAIN_CHARACTERS = /[ !#-[\]-\uffff]*/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const WORD = /true|false|null/y;

class Fault extends Error {
  constructor(readonly fault: JsonFault) {
    super(fault.rule);
  }
}

class Scanner {
  readonly #text: string;
  #at = 0;
  #members: Map<string, number> | null = null;

  constructor(text: string) {
    this.#text = text;
  }

  scan(): JsonLayout {
    this.#take(SPACE);
    this.#value(0);
    this.#take(SPACE);
    if (this.#at < this.#text.length) this.#fail('one JSON value must be all there is');
    return { members: this.#members };
  }

  #value(depth: number): void {
    const first = this.#text[this.#at];
    if (first === '{' || first === '[') {
      if (depth >= MAX_DEPTH) this.#fail(`lists and objects must nest at most ${MAX_DEPTH} deep`);
      this.#at++;
      this.#take(SPACE);
      if (first === '{') this.#object(depth + 1);
      else this.#list(depth + 1);
    } else if (first === '"') this.#string();
    else if (!this.#take(WORD) && !this.#take(NUMBER)) this.#fail('a JSON value must begin here');
  }

  #object(depth: number): void {
    const names = new Map<string, number>();
    if (depth === 1) this.#members = names;
    if (this.#skip('}')) return;
    do {
      this.#take(SPACE);
      const start = this.#at;
      if (this.#text[start] !== '"') this.#fail('the name of a member must begin with "');
      this.#string();
      const name = JSON.parse(this.#text.slice(start, this.#at)) as string;
      if (names.has(name)) this.#fail('a name must be given once in an object', start, JSON.stringify(name));
      this.#take(SPACE);
      if (!this.#skip(':')) this.#fail('":" must follow a name');
      this.#take(SPACE);
      names.set(name, this.#at);
      this.#value(depth);
      this.#take(SPACE);
    } while (this.#skip(','));
    if (!this.#skip('}')) this.#fail('"," or "}" must follow a member');
  }

  #list(depth: number): void {
    if (this.#skip(']')) return;
    do {
      this.#take(SPACE);
      this.#value(depth);
      this.#take(SPACE);
    } while (this.#skip(','));
    if (!this.#skip(']')) this.#fail('"," or "]" must follow an item');
  }

  #string(): void {
    this.#at++;
    for (;;) {
      this.#take(PLAIN_CHARACTERS);
      const character = this.#text[this.#at];
      if (character === '"') break;
      if (character === undefined) this.#fail('a string must end with "');
      if (character !== '\\') this.#fail('control characters in a string must be escaped');
      if (!this.#take(ESCAPE)) this.#fail('an escape must be one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX');
    }
    this.#at++;
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  /** Goes on behind what the pattern matches here; false where that is nothing. */
  #take(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    if (!pattern.test(this.#text) || pattern.lastIndex === this.#at) return false;
    this.#at = pattern.lastIndex;
    return true;
  }

  #fail(rule: string, at = this.#at, got?: string): never {
    const point = this.#text.codePointAt(at);
    throw new Fault({ at, rule, got: got ?? (point === undefined ? 'the end' : JSON.stringify(String.fromCodePoint(point))) });
  }
}

/** The layout of a JSON text, or the first fault in it. */
export function scanJson(text: string): JsonLayout | JsonFault {
  try {
    return new Scanner(text).scan();
  } catch (error) {
    if (error instanceof Fault) return error.fault;
    throw error;
  }
}
