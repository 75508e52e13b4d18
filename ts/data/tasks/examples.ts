// What the data sets of tasks have in common: compact storage of examples of different lengths, rounding lengths up, stacking rows into padded tensors, the
// count of what was kept and left out, and the hash. No rows and no templates here.
import { FerroError, show } from '../../errors';
import { sha256Hex } from '../../math/sha256';
import { type HostTensor, IGNORE_INDEX } from '../dataset';
import { TokenArray } from '../tokenArray';

/** What became of the rows. */
export interface TaskReport {
  /** Rows read. */
  rows: number;
  /** Rows that are trained on. */
  kept: number;
  /** Left out: nothing to read, or nothing to learn. */
  empty: number;
  /** Left out: longer than the context. */
  tooLong: number;
  /** Kept with a part cut off (`overflow: 'truncate'`). */
  truncated: number;
  /** Longest row in tokens, those left out included. */
  longest: number;
  /** Where the first row that is too long stands; null without one. */
  firstTooLong: string | null;
  /** Tokens of the rows kept. */
  tokens: number;
  /** Tokens of these that count in the loss (labels, in a classification data set). */
  countedTokens: number;
  /** Examples: rows kept, or the sequences that they were packed into. */
  examples: number;
}

export function emptyReport(rows: number): TaskReport {
  return { rows, kept: 0, empty: 0, tooLong: 0, truncated: 0, longest: 0, firstTooLong: null, tokens: 0, countedTokens: 0, examples: 0 };
}

/** @throws EMPTY_DATA with the counts, unless a row was kept */
export function requireKept(op: string, report: TaskReport): void {
  if (report.kept > 0) return;
  const { rows, empty, tooLong, longest } = report;
  throw new FerroError(
    'EMPTY_DATA',
    `${op}: at least one row must be kept, got ${rows} rows, of which ${empty} are empty and ${tooLong} too long (longest: ${longest} tokens)`,
  );
}

/** The least of 8, 16, 24, 32, 48, 64, 96, 128, 192 … that holds `length`, but never more than `most`: batches then have few different shapes. */
export function roundLength(length: number, most = Number.POSITIVE_INFINITY): number {
  let power = 8;
  while (2 * power <= length) power *= 2;
  const sizes = [power, power < 16 ? 2 * power : 1.5 * power, 2 * power];
  return Math.min(sizes.find((size) => size >= length)!, most);
}

/** Sequences of token ids of different lengths, each id with a mark whether it is learned, in 2 to 5 bytes per token. */
export class ExampleStore {
  readonly #ids: TokenArray;
  readonly #counted = new TokenArray(2);
  readonly #starts: number[] = [0];

  /** @param vocabSize ids are below it */
  constructor(vocabSize: number) {
    this.#ids = new TokenArray(vocabSize);
  }

  /** Number of sequences. */
  get count(): number {
    return this.#starts.length - 1;
  }

  /** Adds a sequence; without marks nothing of it is learned. @throws TOKEN_OUT_OF_RANGE */
  push(ids: ArrayLike<number>, counted?: ArrayLike<number>): void {
    this.#ids.push(ids);
    this.#counted.push(counted ?? new Uint8Array(ids.length));
    this.#starts.push(this.#ids.length);
  }

  /** Tokens of sequence `index`. */
  lengthOf(index: number): number {
    return this.#starts[index + 1] - this.#starts[index];
  }

  /** Copies the ids of a sequence to `out` from `at` on. */
  copyIds(index: number, out: Int32Array, at: number): void {
    this.#ids.copyTokens(this.#starts[index], this.lengthOf(index), out, at);
  }

  ids(index: number): Int32Array {
    const ids = new Int32Array(this.lengthOf(index));
    this.copyIds(index, ids, 0);
    return ids;
  }

  /** For each id 1 where it is learned, else 0. */
  counted(index: number): Int32Array {
    const counted = new Int32Array(this.lengthOf(index));
    this.#counted.copyTokens(this.#starts[index], counted.length, counted, 0);
    return counted;
  }

  /** SHA-256 of ids, marks and lengths. */
  async hash(): Promise<string> {
    const count = this.#ids.length;
    return sha256Hex(
      JSON.stringify([this.#ids.vocabSize, await this.#ids.hash(0, count), await this.#counted.hash(0, count), this.#starts]),
    );
  }
}

/**
 * Writes a sequence x of n ids as n − 1 places of next-token prediction from `at` on: inputIds x[0 … n−2], labels x[1 … n−1], −100 where the label is not
 * learned. @returns the place behind
 */
export function writePredictions(store: ExampleStore, index: number, inputIds: Int32Array, labels: Int32Array, at: number): number {
  const ids = store.ids(index);
  const counted = store.counted(index);
  const places = ids.length - 1;
  for (let t = 0; t < places; t++) {
    inputIds[at + t] = ids[t];
    labels[at + t] = counted[t + 1] === 1 ? ids[t + 1] : IGNORE_INDEX;
  }
  return at + places;
}

/** A tensor i32 [rows, columns] of one value. */
export function filled(rows: number, columns: number, value: number): HostTensor & { data: Int32Array } {
  return { data: new Int32Array(rows * columns).fill(value), shape: [rows, columns] };
}

/** @throws INVALID_OPTION unless each index is that of an example, and there is at least one */
export function checkIndices(op: string, indices: readonly number[], length: number): void {
  if (indices.length === 0) throw new FerroError('INVALID_OPTION', `${op}: a batch must have at least one index, got none`);
  for (const index of indices) {
    if (Number.isInteger(index) && index >= 0 && index < length) continue;
    throw new FerroError('INVALID_OPTION', `${op}: indices must be integers from 0 to ${length - 1}, got ${show(index)}`);
  }
}
