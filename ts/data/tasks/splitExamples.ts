// Parting rows into a training and an evaluation part, by chance or by a key that must not stand on both sides.
import { FerroError, show } from '../../errors';
import { RandomStream } from '../../math';
import { checkNames, namesOf } from '../../options';
import { asRows, type Row, type RowInput } from './row';

export interface SplitOptions {
  /** Share of the rows kept for evaluation, in [0, 1); 0.1 by default. */
  evalFraction?: number;
  /** 42 by default. */
  seed?: number;
  /** Rows of one key go to one side: the name of a field, or a function of the row. By default each row is by itself. */
  key?: string | ((row: Row) => string);
}

const SPLIT_OPTIONS = namesOf<SplitOptions>({ evalFraction: true, seed: true, key: true });

/** The key of each row. @throws INVALID_DATA where a row lacks the field */
function keysOf(rows: readonly Row[], key: SplitOptions['key']): unknown[] {
  if (key === undefined) return rows.map((_, i) => i);
  if (typeof key === 'function') return rows.map(key);
  return rows.map((row) => {
    const value = row.get(key);
    if (value === undefined)
      throw row.fault(undefined, `a row must have the field ${show(key)} that the split goes by`, show(Object.keys(row.fields)));
    return typeof value === 'object' ? JSON.stringify(value) : value;
  });
}

/**
 * Rows for training and for evaluation, each in the order given. Keys are drawn in a seeded order until at least the asked share of the rows, rounded to whole
 * rows, is on the side of the evaluation: a key with many rows can make it more. The same rows, seed and key give the same parts.
 * @throws INVALID_OPTION, UNKNOWN_OPTION, EMPTY_DATA without rows, INVALID_DATA where a row lacks the key's field
 */
export function splitExamples(rows: readonly RowInput[], options: SplitOptions = {}): { train: Row[]; validation: Row[] } {
  checkNames('splitExamples', options, SPLIT_OPTIONS);
  const { evalFraction = 0.1, seed = 42, key } = options;
  if (!(typeof evalFraction === 'number' && evalFraction >= 0 && evalFraction < 1)) {
    throw new FerroError(
      'INVALID_OPTION',
      `splitExamples: evalFraction must be a number from 0 up to, not including, 1, got ${show(evalFraction)}`,
    );
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new FerroError('INVALID_OPTION', `splitExamples: seed must be an integer from 0 to 2^53 - 1, got ${show(seed)}`);
  }
  const list = asRows('splitExamples', rows);
  const keys = keysOf(list, key);
  const counts = new Map<unknown, number>();
  for (const each of keys) counts.set(each, (counts.get(each) ?? 0) + 1);
  const distinct = [...counts.keys()];
  const wanted = Math.round(list.length * evalFraction);
  const chosen = new Set<unknown>();
  let taken = 0;
  for (const at of new RandomStream(seed, 'data.split').permutation(distinct.length)) {
    if (taken >= wanted) break;
    chosen.add(distinct[at]);
    taken += counts.get(distinct[at])!;
  }
  return { train: list.filter((_, i) => !chosen.has(keys[i])), validation: list.filter((_, i) => chosen.has(keys[i])) };
}
