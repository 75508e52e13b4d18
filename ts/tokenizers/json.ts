// Reading the parts of a tokenizer's JSON files: values as what they must be, or an error that names the part. Objects become Maps, so that a key such
// as "__proto__" is only a key.
import { FerroError } from '../errors';
import { parseJson } from '../json';

export type JsonObject = ReadonlyMap<string, unknown>;

/** A file that is not what it must be. */
export const invalid = (rule: string, cause?: unknown): FerroError =>
  new FerroError('INVALID_TOKENIZER', rule, cause === undefined ? undefined : { cause });

/** A sound file that asks for what this library does not do. */
export const unsupported = (what: string): FerroError => new FerroError('UNSUPPORTED_TOKENIZER', what);

/** A value's short form for messages. */
export function show(value: unknown): string {
  const text = value instanceof Map ? JSON.stringify(Object.fromEntries(value)) : (JSON.stringify(value) ?? 'nothing');
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/** Parses a file's text into an object. @throws INVALID_TOKENIZER naming the file */
export function parseFile(name: string, text: string): JsonObject {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw invalid(`${name}: must be JSON, got ${(cause as Error).message}`, cause);
  }
  return asObject(value, name);
}

export function asObject(value: unknown, name: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${name}: must be an object, got ${show(value)}`);
  return new Map(Object.entries(value));
}

/** An object, or null where it is absent. */
export function objectOrNull(value: unknown, name: string): JsonObject | null {
  return value === null || value === undefined ? null : asObject(value, name);
}

/** A list; empty where it is absent. */
export function listOf(value: unknown, name: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(`${name}: must be a list, got ${show(value)}`);
  return value;
}

export function textOf(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalid(`${name}: must be text, got ${show(value)}`);
  return value;
}

/** A truth value; `fallback` where it is absent. */
export function flagOf(value: unknown, name: string, fallback: boolean): boolean {
  if (value === undefined || value === null) return fallback;
  if (typeof value !== 'boolean') throw invalid(`${name}: must be true or false, got ${show(value)}`);
  return value;
}

/** Ids above this are refused before anything is allocated for them (the largest vocabularies have a few hundred thousand). */
const MOST_IDS = 1 << 22;

export function idOf(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= MOST_IDS) {
    throw invalid(`${name}: an id must be an integer from 0 to ${MOST_IDS - 1}, got ${show(value)}`);
  }
  return value;
}

/** The type of a part such as a pre-tokenizer. */
export const typeOf = (part: JsonObject, name: string): string => textOf(part.get('type'), `${name}.type`);

/** The parts of a Sequence, or the part itself; [] for null. `key` is where a Sequence of this kind lists its parts. */
export function flatten(value: unknown, key: string, name: string, depth = 0): JsonObject[] {
  const part = objectOrNull(value, name);
  if (part === null) return [];
  if (part.get('type') !== 'Sequence') return [part];
  if (depth > 16) throw invalid(`${name}: sequences must be at most 16 deep, got more`);
  if (!Array.isArray(part.get(key))) throw invalid(`${name}.${key}: must be a list, got ${show(part.get(key))}`);
  return listOf(part.get(key), `${name}.${key}`).flatMap((item, i) => flatten(item, key, `${name}.${key}[${i}]`, depth + 1));
}
