// The order of evaluation: every token after the first is predicted exactly once, in windows of T; or every example once. Nothing is drawn at random.
import { FerroError } from '../errors';
import { type Dataset, type EvalBatch, type ExampleDataset, IGNORE_INDEX, isTokenDataset, type TokenDataset } from './dataset';

export interface EvalOptions {
  /** T (token data sets only). */
  blockSize: number;
  /** Rows in a batch; the last one may have fewer. */
  batchSize: number;
}

/**
 * The batches of a data set, in order. For tokens: row k predicts tokens kT+1 … kT+T from kT … kT+T−1; the last, shorter window is filled up with
 * input 0 and label −100 (causal attention keeps the filling from mattering), so N tokens give N − 1 predictions.
 * @throws EMPTY_DATA, DATA_TOO_SHORT with fewer than 2 tokens, INVALID_OPTION
 */
export async function* evalBatches(dataset: Dataset, options: EvalOptions): AsyncGenerator<EvalBatch> {
  for (const [name, value] of Object.entries(options)) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw new FerroError('INVALID_OPTION', `evaluation: ${name} must be a positive integer, got ${value}`);
  }
  if (dataset.length === 0) throw new FerroError('EMPTY_DATA', 'evaluation data: must have something in it, got nothing');
  yield* isTokenDataset(dataset) ? windowBatches(dataset, options) : exampleBatches(dataset, options.batchSize);
}

function* windowBatches(dataset: TokenDataset, { blockSize: T, batchSize }: EvalOptions): Generator<EvalBatch> {
  const total = dataset.length - 1;
  if (total < 1) throw new FerroError('DATA_TOO_SHORT', `evaluation data: must have at least 2 tokens, got ${dataset.length}`);
  const windows = Math.ceil(total / T);
  for (let first = 0; first < windows; first += batchSize) {
    const rows = Math.min(batchSize, windows - first);
    const predictions = Math.min(rows * T, total - first * T);
    const tokens = new Int32Array(predictions + 1);
    dataset.copyTokens(first * T, predictions + 1, tokens, 0);
    const inputIds = new Int32Array(rows * T);
    const labels = new Int32Array(rows * T).fill(IGNORE_INDEX);
    inputIds.set(tokens.subarray(0, predictions));
    labels.set(tokens.subarray(1));
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
