// What the trainer asks of data: two small interfaces, one for texts cut into windows, one for any list of examples, and the batch both give.
// A data set of one's own implements `ExampleDataset` in a few lines. No file access, no engine.

/** A host-side tensor: the values in row-major order and the shape. */
export interface HostTensor {
  data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** What a loss receives, by name. Token data sets give `inputIds` and `labels`, both i32 [B, T]. */
export type BatchTensors = Record<string, HostTensor>;

/** Label of a position that does not count in the loss. */
export const IGNORE_INDEX = -100;

/**
 * A list of examples that can be fetched in any order: what a data set of one's own implements.
 * The trainer shuffles the indices (seeded, a new order each epoch) and calls `batch`; examples must not change between calls.
 */
export interface ExampleDataset {
  /** Number of examples, at least 1. */
  readonly length: number;
  /** A length for each example. Where it is given, examples of near length follow each other in the order of an epoch. */
  readonly lengths?: ArrayLike<number>;
  /**
   * The examples at `indices` stacked along a new first axis of size indices.length. Every batch has the same names and dtypes; trailing shapes may differ
   * from batch to batch and should be few, as each new one costs a program (a dozen are kept).
   */
  batch(indices: readonly number[]): BatchTensors | Promise<BatchTensors>;
  /** Identifies the contents (any text); resuming on other data is then refused. */
  hash?(): string | Promise<string>;
}

/** A long sequence of tokens, from which windows are cut; `TextDataset` is one. */
export interface TokenDataset {
  /** Number of tokens. */
  readonly length: number;
  /** Ids are below it. */
  readonly vocabSize: number;
  /** Copies tokens start … start + count − 1 to `out` from `at` on; the range lies within the data set. */
  copyTokens(start: number, count: number, out: Int32Array, at: number): void;
  /** SHA-256 of the tokens. */
  hash(): Promise<string>;
}

/** What can be given as `dataset` or `evalDataset`. */
export type Dataset = TokenDataset | ExampleDataset;

/** Tells the two kinds of data set apart. */
export function isTokenDataset(dataset: Dataset): dataset is TokenDataset {
  return typeof (dataset as TokenDataset).copyTokens === 'function';
}

/** One training batch. */
export interface Batch {
  tensors: BatchTensors;
  /** Which examples these are, one number per row: the first token of each window, or the index of each example. */
  exampleIds: number[];
  /** Windows (or examples) consumed once this batch has been trained on: the state to save. */
  consumed: number;
}

/** One evaluation batch. */
export interface EvalBatch {
  tensors: BatchTensors;
  /** Rows in the batch. */
  rows: number;
  /** Positions that count; rows for a data set of examples. */
  predictions: number;
}
