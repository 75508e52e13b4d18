// What a row of the table of options is, and how it is written there. Names no option: table.ts does.

import type { Check } from './checks';
import { kebabCase } from './names';

/** One option. `D` is `T` where the table has a default, else undefined. */
export interface Option<T = unknown, D = T | undefined> {
  readonly name: string;
  /** The flag's name without dashes; empty where the command line has none. */
  readonly flag: string;
  /** Other spellings taken as the same option (`output_dir` and `out`). */
  readonly aliases: readonly string[];
  readonly check: Check<T>;
  readonly default: D;
  /** The default in words, where it depends on something. */
  readonly defaultText: string;
  readonly help: string;
}

interface Row<D> {
  help: string;
  default?: D;
  defaultText?: string;
  flag?: string;
  aliases?: readonly string[];
}

type Unnamed<T, D> = Omit<Option<T, D>, 'name'>;

/** An option of the table, whose name is its key there. */
export function option<const T>(kind: Check<T>, row: Row<T> & { default: T }): Unnamed<T, T>;
export function option<const T>(kind: Check<T>, row: Row<undefined>): Unnamed<T, undefined>;
export function option<const T>(kind: Check<T>, row: Row<T | undefined>): Unnamed<T, T | undefined> {
  return {
    flag: row.flag ?? '?',
    aliases: row.aliases ?? [],
    check: kind,
    default: row.default,
    defaultText: row.defaultText ?? (row.default === undefined ? '' : String(row.default)),
    help: row.help,
  };
}

/** A table of options by their names, with their flags. */
export function named<T extends Record<string, Unnamed<unknown, unknown>>>(
  rows: T,
): { readonly [K in keyof T]: T[K] & { readonly name: K } } {
  const table: Record<string, unknown> = {};
  for (const [name, row] of Object.entries(rows)) {
    const flag = row.flag !== '?' ? row.flag : row.check.kind === 'opaque' ? '' : kebabCase(name);
    table[name] = Object.freeze({ ...row, name, flag });
  }
  return Object.freeze(table) as { readonly [K in keyof T]: T[K] & { readonly name: K } };
}
