// The order of evaluation: every token after the first is predicted exactly once, in windows of T; or every example once. Nothing is drawn at random.
import { FerroError } from '../errors';
import { type Dataset, type EvalBatch, type ExampleDataset, IGNORE_INDEX, isTokenDataset, type TokenDataset } from './dataset';

export interface EvalOptions {
  /** T (token data sets only). */
  blockSize: number;
  /** Rows in a batch; the last one may have fewer. */
  batchSize: number;
  /** Tokens from one window to the next, at most blockSize (token data sets only). Default blockSize. */
  stride?: number;
}

/**
 * The batches of a data set, in order. For tokens: row k predicts tokens kT+1 … kT+T from kT … kT+T−1; the last, shorter window is filled up with
 * input 0 and label −100 (causal attention keeps the filling from mattering), so N tokens give N − 1 predictions. With a stride S row k begins at kS and counts
 * only what the row before has not: its last S predictions, each with at least T − S + 1 tokens of context (Hugging Face's guide to perplexity does the same,
 * but for its windows' first tokens, which it leaves out where S = T).
 * @throws EMPTY_DATA, DATA_TOO_SHORT with fewer than 2 tokens, INVALID_OPTION
 */
export async function* evalBatches(dataset: Dataset, options: EvalOptions): AsyncGenerator<EvalBatch> {
  for (const [name, value] of Object.entries(options) as [string, number | undefined][]) {
    if (value === undefined) continue;
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw new FerroError('INVALID_OPTION', `evaluation: ${name} must be a positive integer, got ${value}`);
  }
  const { blockSize, stride = blockSize } = options;
  if (stride > blockSize)
    throw new FerroError('INVALID_OPTION', `evaluation: stride must be at most the context length ${blockSize}, got ${stride}`);
  if (dataset.length === 0) throw new FerroError('EMPTY_DATA', 'evaluation data: must have something in it, got nothing');
  yield* isTokenDataset(dataset) ? windowBatches(dataset, options) : exampleBatches(dataset, options.batchSize);
}

function* windowBatches(dataset: TokenDataset, { blockSize: T, batchSize, stride = T }: EvalOptions): Generator<EvalBatch> {
  const total = dataset.length - 1;
  if (total < 1) throw new FerroError('DATA_TOO_SHORT', `evaluation data: must have at least 2 tokens, got ${dataset.length}`);
  const windows = 1 + Math.ceil(Math.max(0, total - T) / stride);
  for (let first = 0; first < windows; first += batchSize) {
    const rows = Math.min(batchSize, windows - first);
    const inputIds = new Int32Array(rows * T);
    const labels = new Int32Array(rows * T).fill(IGNORE_INDEX);
    const tokens = new Int32Array(T + 1);
    let predictions = 0;
    for (let row = 0; row < rows; row++) {
      const begin = (first + row) * stride;
      const length = Math.min(T, total - begin);
      // What the row before has predicted.
      const known = begin === 0 ? 0 : T - stride;
      dataset.copyTokens(begin, length + 1, tokens, 0);
      inputIds.set(tokens.subarray(0, length), row * T);
      labels.set(tokens.subarray(known + 1, length + 1), row * T + known);
      predictions += length - known;
    }
    yield { tensors: { inputIds: { data: inputIds, shape: [rows, T] }, labels: { data: labels, shape: [rows, T] } }, rows, predictions };
  }
}

async function* exampleBatches(dataset: ExampleDataset, batchSize: number): AsyncGenerator<EvalBatch> {
  for (let first = 0; first < dataset.length; first += batchSize) {
    const rows = Math.min(batchSize, dataset.length - first);
    const tensors = await dataset.batch(Array.from({ length: rows }, (_, i) => first + i));
    yield { tensors, rows, predictions: rows };
  }
}

/** Predictions that an evaluation counts: tokens − 1, or examples. */
export function countPredictions(dataset: Dataset): number {
  return isTokenDataset(dataset) ? Math.max(0, dataset.length - 1) : dataset.length;
}
