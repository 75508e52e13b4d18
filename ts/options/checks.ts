// The kinds of value an option can have: a rule in words, a test, and how the text of a flag becomes such a value. No option is named here.

/** How a value is written on the command line: `opaque` values (objects, functions) have no flag. */
export type Kind = 'number' | 'boolean' | 'string' | 'strings' | 'integers' | 'opaque';

/** What a value must be. `rule` completes the sentence `"name" must be …`; `accepts` decides. */
export interface Check<T> {
  readonly kind: Kind;
  readonly rule: string;
  readonly choices?: readonly string[];
  accepts(value: unknown): value is T;
}

const MAX_COUNT = 2_147_483_647; // sizes and counts travel as 32-bit integers

function numeric(rule: string, test: (value: number) => boolean): Check<number> {
  return { kind: 'number', rule, accepts: (value): value is number => typeof value === 'number' && Number.isFinite(value) && test(value) };
}

/** A finite number greater than 0. */
export const positive = numeric('a positive number', (x) => x > 0);
/** A finite number, 0 or more. */
export const nonNegative = numeric('0 or a positive number', (x) => x >= 0);
/** 0 ≤ x < 1: a probability of dropping, a decay of an average. */
export const belowOne = numeric('a number from 0 to below 1', (x) => x >= 0 && x < 1);
/** 0 ≤ x ≤ 1. */
export const unit = numeric('a number from 0 to 1', (x) => x >= 0 && x <= 1);
/** 0 < x ≤ 1. */
export const share = numeric('a positive number, at most 1', (x) => x > 0 && x <= 1);
/** An integer from 1 to 2³¹ − 1. */
export const count = numeric('a positive integer (at most 2147483647)', (x) => Number.isInteger(x) && x >= 1 && x <= MAX_COUNT);
/** An integer from 0 to 2³¹ − 1. */
export const whole = numeric('an integer from 0 to 2147483647', (x) => Number.isInteger(x) && x >= 0 && x <= MAX_COUNT);
/** An integer that JavaScript holds exactly and that fits the engine's two seed words. */
export const seed = numeric('an integer from 0 to 2^53 - 1', (x) => Number.isSafeInteger(x) && x >= 0);

/** Any finite number, negative ones too. */
export const anyNumber = numeric('a finite number', () => true);

/** An integer from `low` to `high`. */
export function integerFrom(low: number, high: number): Check<number> {
  return numeric(`an integer from ${low} to ${high}`, (x) => Number.isInteger(x) && x >= low && x <= high);
}

/** true or false. */
export const flag: Check<boolean> = { kind: 'boolean', rule: 'true or false', accepts: (value) => typeof value === 'boolean' };

/** Any text, the empty one included. */
export const text: Check<string> = { kind: 'string', rule: 'a string', accepts: (value) => typeof value === 'string' };

/** Text with at least one character: a path, a name. */
export const name: Check<string> = {
  kind: 'string',
  rule: 'a non-empty string',
  accepts: (value): value is string => typeof value === 'string' && value !== '',
};

/** One of the given words. */
export function oneOf<T extends string>(...choices: readonly T[]): Check<T> {
  const rule = `one of ${choices.map((choice) => `"${choice}"`).join(', ')}`;
  return { kind: 'string', rule, choices, accepts: (value): value is T => (choices as readonly unknown[]).includes(value) };
}

/** A list of non-empty strings, at least one. */
export const names: Check<readonly string[]> = {
  kind: 'strings',
  rule: 'a list of at least one non-empty string',
  accepts: (value): value is readonly string[] => Array.isArray(value) && value.length > 0 && value.every((item) => name.accepts(item)),
};

/** A list of at least one of the given words. */
export function listOf<T extends string>(...choices: readonly T[]): Check<readonly T[]> {
  const one = oneOf(...choices);
  return {
    kind: 'strings',
    rule: `a list of ${one.rule}`,
    accepts: (value): value is readonly T[] => Array.isArray(value) && value.length > 0 && value.every((item) => one.accepts(item)),
  };
}

/** A list of token ids; may be empty. */
export const ids: Check<readonly number[] | Int32Array> = {
  kind: 'integers',
  rule: 'a list of integers from 0 to 2147483647',
  accepts: (value): value is readonly number[] | Int32Array =>
    (Array.isArray(value) || value instanceof Int32Array) && Array.prototype.every.call(value, (item: unknown) => whole.accepts(item)),
};

/** A text or a list of token ids. */
export const textOrIds: Check<string | readonly number[] | Int32Array> = {
  kind: 'opaque',
  rule: 'a string or a list of token ids',
  accepts: (value): value is string | readonly number[] | Int32Array => typeof value === 'string' || ids.accepts(value),
};

/** A text or a list of texts, empty ones included. */
export const texts: Check<string | readonly string[]> = {
  kind: 'strings',
  rule: 'a string or a list of strings',
  accepts: (value): value is string | readonly string[] =>
    typeof value === 'string' || (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')),
};

/** A list of non-empty texts or lists of token ids, at least one. */
export const wordsOrIds: Check<readonly (string | readonly number[])[]> = {
  kind: 'strings',
  rule: 'a list of at least one non-empty string or non-empty list of token ids',
  accepts: (value): value is readonly (string | readonly number[])[] =>
    Array.isArray(value) && value.length > 0 && value.every((item) => name.accepts(item) || (ids.accepts(item) && item.length > 0)),
};

/** Numbers by token id: an object, a Map, or texts `id:bias`. */
export const biases: Check<Readonly<Record<number, number>> | ReadonlyMap<number, number> | readonly string[]> = {
  kind: 'strings',
  rule: 'an object { id: bias }, or a list of "id:bias"',
  accepts: (value): value is Readonly<Record<number, number>> | ReadonlyMap<number, number> | readonly string[] =>
    Array.isArray(value)
      ? value.every((item) => typeof item === 'string' && /^\d+:/.test(item))
      : typeof value === 'object' && value !== null,
};

/** When a beam search may end. */
export const earlyStopping: Check<boolean | 'never' | 'true' | 'false'> = {
  kind: 'string',
  rule: 'true, false or "never"',
  choices: ['true', 'false', 'never'],
  accepts: (value): value is boolean | 'never' | 'true' | 'false' =>
    typeof value === 'boolean' || value === 'never' || value === 'true' || value === 'false',
};

/** How rotary positions are stretched: an object, or as text. */
export type RopeScalingOption =
  | string
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalPositions: number;
    };

const ROPE_FACTORS: Readonly<Record<string, readonly string[]>> = {
  linear: ['factor'],
  llama3: ['factor', 'lowFrequencyFactor', 'highFrequencyFactor', 'originalPositions'],
};

/** "none", a kind with its factors, or these as an object. Whoever uses it turns text into numbers. */
export const ropeScaling: Check<RopeScalingOption> = {
  kind: 'string',
  rule: '"none", "linear:FACTOR", "llama3:FACTOR:LOW:HIGH:POSITIONS" with positive numbers, or the same as an object { kind, factor, … }',
  accepts: (value): value is RopeScalingOption => {
    if (value === 'none') return true;
    if (typeof value !== 'string' && !instance.accepts(value)) return false;
    const { kind, ...given } = (typeof value === 'string' ? factorsOf(value) : value) as { kind?: unknown };
    const wanted = typeof kind === 'string' && Object.hasOwn(ROPE_FACTORS, kind) ? ROPE_FACTORS[kind] : undefined;
    const names = Object.keys(given);
    return (
      wanted !== undefined &&
      names.length === wanted.length &&
      wanted.every((factor) => names.includes(factor) && positive.accepts((given as Record<string, unknown>)[factor]))
    );
  },
};

function factorsOf(written: string): object {
  const [kind, ...numbers] = written.split(':');
  const wanted = Object.hasOwn(ROPE_FACTORS, kind) ? ROPE_FACTORS[kind] : [];
  const toNumber = (number: string) => (/^\d+(?:\.\d+)?$/.test(number) ? Number(number) : Number.NaN);
  return Object.fromEntries([['kind', kind], ...numbers.map((number, i) => [wanted[i] ?? String(i), toNumber(number)])]);
}

/** An object of any class (a data set, a tokenizer, a URL …); whoever uses it checks the rest. */
export const instance: Check<object> = {
  kind: 'opaque',
  rule: 'an object',
  accepts: (value): value is object => typeof value === 'object' && value !== null,
};

/** An AbortSignal, of this realm or of another. */
export const abortSignal: Check<AbortSignal> = {
  kind: 'opaque',
  rule: 'an AbortSignal',
  accepts: (value): value is AbortSignal =>
    instance.accepts(value) && typeof (value as { aborted?: unknown }).aborted === 'boolean' && 'addEventListener' in value,
};

/** A function. */
export const callback: Check<(...args: never[]) => unknown> = {
  kind: 'opaque',
  rule: 'a function',
  accepts: (value): value is (...args: never[]) => unknown => typeof value === 'function',
};

/** A URL or its text. */
export const address: Check<string | URL> = {
  kind: 'opaque',
  rule: 'a URL or a non-empty string',
  accepts: (value): value is string | URL => name.accepts(value) || value instanceof URL,
};

/** Special tokens by their text, or ids. */
export const tokens: Check<readonly (string | number)[]> = {
  kind: 'strings',
  rule: 'a list of at least one non-empty string or token id',
  accepts: (value): value is readonly (string | number)[] =>
    Array.isArray(value) && value.length > 0 && value.every((item) => name.accepts(item) || whole.accepts(item)),
};

/** What ends a text: an id, or a text, which may be empty. */
export const endOfText: Check<string | number> = {
  kind: 'string',
  rule: 'a token id or a string',
  accepts: (value): value is string | number => typeof value === 'string' || whole.accepts(value),
};

/** How a row becomes a text. */
export const template: Check<string | object> = {
  kind: 'string',
  rule: 'a name, a string with {fields}, { prompt, completion } or a Template',
  accepts: (value): value is string | object =>
    name.accepts(value) ||
    (instance.accepts(value) &&
      (!('prompt' in value) || (text.accepts(value.prompt) && 'completion' in value && text.accepts(value.completion)))),
};

/** A size: bytes, or a number with a unit as Hugging Face writes it. Whoever uses it turns it into bytes. */
export const sizeInBytes: Check<string | number> = {
  kind: 'string',
  rule: 'a positive number of bytes, or a size such as "200MB" or "1GiB"',
  accepts: (value): value is string | number =>
    typeof value === 'string'
      ? /^\d+(?:\.\d+)?\s*(?:[KMG]i?B)?$/i.test(value) && Number.parseFloat(value) > 0
      : seed.accepts(value) && value > 0,
};
