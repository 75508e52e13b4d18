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
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new FerroError('INVALID_OPTION', `${op}: options must be an object, got ${show(options)}`);
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new FerroError(
      'UNKNOWN_OPTION',
      `${op}: options must be known ones, got ${show(unknown)} (the nearest is ${show(nearest(unknown, known))})`,
    );
}
