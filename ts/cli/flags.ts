// Between the option table and commander: flags from rows, values from their text, a configuration file under the flags. No option is named here.

import { type Command, Option as Flag } from 'commander';
import { FerroError } from '../errors';
import { camelCase, kebabCase, OPTIONS, type Option, type OptionName, type OptionValues, readOptions } from '../options';
import { readConfigFile } from './configFile';

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^[+-]?(NaN|Infinity)$/i;

/** The value that the text of a flag stands for; text that stands for none stays text, for the option's check to refuse. */
export function parseFlag(option: Option, value: string | boolean | readonly string[]): unknown {
  if (typeof value !== 'string') return value;
  switch (option.check.kind) {
    case 'number':
      return NUMBER.test(value) ? Number(value) : value;
    case 'boolean':
      return value === 'true' ? true : value === 'false' ? false : value;
    case 'integers':
      return value === '' ? [] : value.split(',').map((part) => (NUMBER.test(part.trim()) ? Number(part) : part));
    default:
      return value;
  }
}

function placeholder({ check }: Option): string {
  if (check.kind === 'boolean') return ' [true|false]';
  if (check.kind === 'strings') return ' <value...>';
  if (check.kind === 'integers') return ' <1,2,3>';
  return check.kind === 'number' ? ' <number>' : ' <text>';
}

/** The flag as users write it: `--learning-rate`. */
export const flagName = (option: Option): string => `--${option.flag}`;

/** Adds the flags of these options to a command. Defaults are in the help alone: they are filled in after the configuration file is read. */
export function addFlags(command: Command, names: readonly OptionName[]): Command {
  for (const name of names) {
    const option: Option = OPTIONS[name];
    const choices = option.check.choices === undefined ? '' : ` (${option.check.choices.join(', ')})`;
    const fallback = option.defaultText === '' || option.defaultText === 'false' ? '' : ` [default: ${option.defaultText}]`;
    command.addOption(new Flag(`${flagName(option)}${placeholder(option)}`, `${option.help}${choices}${fallback}`));
  }
  return command;
}

/** Rewrites `--learning_rate`, `--learningRate` and aliases (`--output-dir`) to the flags of these options; everything else stays as it is. */
export function normaliseArguments(argv: readonly string[], names: readonly OptionName[]): string[] {
  const flags = new Map<string, string>();
  for (const name of names) {
    const option: Option = OPTIONS[name];
    for (const spelling of [option.flag, name, ...option.aliases]) flags.set(kebabCase(camelCase(spelling)), option.flag);
  }
  const end = argv.indexOf('--');
  return argv.map((argument, i) => {
    const match = /^--([A-Za-z][\w-]*)(=.*)?$/s.exec(argument);
    if (match === null || (end >= 0 && i > end)) return argument;
    const flag = flags.get(kebabCase(camelCase(match[1])));
    return flag === undefined ? argument : `--${flag}${match[2] ?? ''}`;
  });
}

/**
 * The checked options of a command: the file named by --config under what the flags say.
 * @param parsed - commander's values, by camelCase flag name
 * @returns all values with defaults, and those that were given alone
 * @throws INVALID_OPTION, UNKNOWN_OPTION; FILE_NOT_FOUND, INVALID_FILE for the configuration file
 */
export async function readCommandOptions<const N extends readonly OptionName[]>(
  command: string,
  parsed: Record<string, string | boolean | string[]>,
  names: N,
): Promise<{ values: OptionValues<N[number]>; given: Partial<OptionValues<N[number]>> }> {
  const byFlag = new Map(names.map((name): [string, Option] => [OPTIONS[name].flag, OPTIONS[name]]));
  const fromFlags: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(parsed)) {
    const option = byFlag.get(kebabCase(key));
    if (option !== undefined) fromFlags[option.name] = parseFlag(option, value);
  }
  const style = { label: flagName, defaults: false } as const;
  const given = readOptions(command, fromFlags, names, style) as Record<string, unknown>;
  const fromFile =
    typeof given.config === 'string' ? readOptions(`${command} (${given.config})`, await readConfigFile(given.config), names, style) : {};
  const merged = { ...fromFile, ...given };
  return {
    values: readOptions(command, merged, names, { label: flagName }) as OptionValues<N[number]>,
    given: merged as Partial<OptionValues<N[number]>>,
  };
}

/** The value of a flag without which a command cannot work. @throws INVALID_OPTION */
export function required<T>(command: string, value: T | undefined, flag: string): T {
  if (value === undefined) throw new FerroError('INVALID_OPTION', `${command}: "--${flag}" must be given, got none`);
  return value;
}

/** Sees to it that exactly one of two flags is given. @throws INVALID_OPTION */
export function requireOne(command: string, [a, b]: readonly [unknown, unknown], flags: readonly [string, string]): void {
  if ((a === undefined) !== (b === undefined)) return;
  const got = a === undefined ? 'none' : 'both';
  throw new FerroError('INVALID_OPTION', `${command}: one of "--${flags[0]}" and "--${flags[1]}" must be given, got ${got}`);
}

/** Those of the given options that are among `names`: what a command hands on, so that the library's own defaults hold for the rest. */
export function pickGiven<V extends object, N extends keyof V>(given: V, names: readonly N[]): Pick<V, N> {
  return Object.fromEntries(names.filter((name) => name in given).map((name) => [name, given[name]])) as Pick<V, N>;
}
