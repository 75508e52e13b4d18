// The options of functions that are not in the table (metrics, data, evaluation, modules): their names, and the refusal of others, since a misspelt one would be a
// silent default. Values are checked by whoever reads them.
import { FerroError, show } from '../errors';
import { nearest } from './names';

/** The names of a type's options; the compiler sees to it that they are all. */
export function namesOf<T extends object>(names: Readonly<Record<keyof T, true>>): readonly string[] {
  return Object.keys(names);
}

/** @throws UNKNOWN_OPTION naming the nearest option for a name that is not among the known ones; INVALID_OPTION for what is no object */
export function checkNames(op: string, options: unknown, known: readonly string[]): void {
  checkObject(op, options);
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) throw unknownOption(op, unknown, nearest(unknown, known));
}

/** @throws INVALID_OPTION for options that are no plain object */
export function checkObject(op: string, options: unknown): asserts options is object {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new FerroError('INVALID_OPTION', `${op}: options must be an object, got ${show(options)}`);
}

/** The error for an option that `op` does not know. `near`: how its users write the one that they may have meant. */
export function unknownOption(op: string, name: string, near: string | undefined): FerroError {
  const hint = near === undefined ? 'it takes none' : `the nearest is "${near}"`;
  return new FerroError('UNKNOWN_OPTION', `${op}: options must be known ones, got ${show(name)} (${hint})`);
}
