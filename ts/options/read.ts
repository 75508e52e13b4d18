// Reads a user's options: every key known, every value checked, defaults filled in. Decides nothing about combinations of options.

import { FerroError, show } from '../errors';
import { checkObject, unknownOption } from './known';
import { camelCase, nearest } from './names';
import { OPTIONS, type Option, type OptionName } from './table';

type Spec<N extends OptionName> = (typeof OPTIONS)[N];
type ValueOf<N extends OptionName> = Spec<N> extends Pick<Option<infer T>, 'check'> ? T : never;
type IsOpaque<N extends OptionName> = object extends ValueOf<N> ? true : ValueOf<N> extends (...args: never[]) => unknown ? true : false;

/**
 * Checked values of the options named in `N`. One without a default in the table may be undefined. Objects and functions keep the type they have in the
 * input's type `I`.
 */
export type OptionValues<N extends OptionName, I = unknown> = {
  [K in N]: IsOpaque<K> extends true ? (K extends keyof I ? I[K] : ValueOf<K> | undefined) : ValueOf<K> | Spec<K>['default'];
};

/** How `readOptions` reads: without `defaults` only what was given; `label` is how messages name an option (the command line says `--learning-rate`). */
export interface ReadStyle {
  defaults?: boolean;
  label?: (option: Option) => string;
}

/** Throws INVALID_OPTION `op: "name" must be rule, got value` unless the option accepts the value. */
export function checkValue(op: string, option: Option, value: unknown, label: (option: Option) => string = (o) => o.name): void {
  if (!option.check.accepts(value)) {
    throw new FerroError('INVALID_OPTION', `${op}: "${label(option)}" must be ${option.check.rule}, got ${show(value)}`);
  }
}

/**
 * Reads the options that `op` accepts out of a plain object. Keys may be camelCase, snake_case or kebab-case; a key whose value is undefined counts as
 * absent. The input is not changed; the result is a new object.
 *
 * @param op - who reads, for messages: `Trainer`, `GPT.create`
 * @param input - the user's object; undefined means none
 * @param names - the accepted options (a list of options/lists.ts, or one of your own)
 * @throws UNKNOWN_OPTION naming the nearest accepted option; INVALID_OPTION for a value that breaks its rule, a key given twice, or an input that is no object
 */
export function readOptions<const N extends readonly OptionName[], I extends object = object>(
  op: string,
  input: I | undefined,
  names: N,
  style: ReadStyle = {},
): OptionValues<N[number], I> {
  if (input !== undefined) checkObject(op, input);
  const label = style.label ?? ((option: Option) => option.name);
  const accepted = new Map<string, Option>();
  for (const name of names) {
    const option: Option = OPTIONS[name];
    for (const key of [name, ...option.aliases]) accepted.set(key, option);
  }

  const values = new Map<string, unknown>();
  for (const [key, value] of Object.entries(input ?? {})) {
    const option = accepted.get(camelCase(key));
    if (option === undefined) throw unknownOption(op, key, nearestLabel(key, names, label));
    if (value === undefined) continue;
    if (values.has(option.name))
      throw new FerroError('INVALID_OPTION', `${op}: "${label(option)}" must be given once, got it again as "${key}"`);
    checkValue(op, option, value, label);
    values.set(option.name, value);
  }

  const result: Record<string, unknown> = {};
  for (const name of names) {
    if (values.has(name)) result[name] = values.get(name);
    else if (style.defaults !== false && OPTIONS[name].default !== undefined) result[name] = OPTIONS[name].default;
  }
  return result as OptionValues<N[number], I>;
}

function nearestLabel(key: string, names: readonly OptionName[], label: (option: Option) => string): string | undefined {
  const near = nearest(key, names) as OptionName | undefined;
  return near === undefined ? undefined : label(OPTIONS[near]);
}
