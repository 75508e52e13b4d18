// Which examples each training step sees: a pure function of seed and of how many were consumed, so that this one number resumes a run exactly.
// Texts are cut into windows; lists of examples are shuffled. Evaluation order is in evalBatches.ts.
import { FerroError } from '../errors';
import { RandomStream } from '../math';
import { checkNames, namesOf } from '../options';
import { type Batch, type BatchTensors, type Dataset, type ExampleDataset, isTokenDataset, type TokenDataset } from './dataset';
import { epochOrder, groupedOrder, type Order } from './order';

/** Gives training batches for ever, epoch after epoch; a batch may span two epochs. */
export interface Sampler {
  /** Windows (or examples) given so far, those before a resume included. */
  readonly consumed: number;
  /** Epochs given so far, as a real number. */
  readonly epoch: number;
  /** The next batch of exactly `batchSize` rows. */
  nextBatch(batchSize: number): Promise<Batch>;
}

export interface SamplerOptions {
  /** T: predictions per window (token data sets only). */
  blockSize: number;
  /** Integer from 0 to 2^53 − 1. */
  seed: number;
  /** Where to go on: the `consumed` of the last batch trained on. */
  consumed?: number;
}

const SAMPLER_OPTIONS = namesOf<SamplerOptions>({ blockSize: true, seed: true, consumed: true });

/** One epoch among those before it. */
interface Epoch {
  /** Examples consumed before it. */
  before: number;
  /** First token of its first window. */
  offset: number;
  /** Number of examples. */
  count: number;
}

function requireCount(op: string, name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new FerroError('INVALID_OPTION', `${op}: ${name} must be an integer of at least ${least}, got ${value}`);
}

/** Walks through seeded epochs and says which example comes next; the common part of both samplers. */
class EpochCursor {
  readonly #seed: number;
  readonly #describe: (epoch: number) => { offset: number; count: number };
  /** Lengths of the examples, where near ones are to follow each other. */
  readonly #lengths: ArrayLike<number> | undefined;
  #index = 0;
  #current: Epoch;
  #order: Order | undefined;
  #consumed: number;

  constructor(seed: number, consumed: number, describe: (epoch: number) => { offset: number; count: number }, lengths?: ArrayLike<number>) {
    this.#seed = seed;
    this.#lengths = lengths;
    this.#describe = describe;
    this.#current = { before: 0, ...describe(0) };
    this.#consumed = consumed;
    this.#advance();
  }

  get consumed(): number {
    return this.#consumed;
  }

  get epoch(): number {
    return this.#index + (this.#consumed - this.#current.before) / this.#current.count;
  }

  /** The next example: the epoch's offset and the example's number within the epoch. */
  next(): { offset: number; number: number } {
    this.#order ??= this.#epochOrder();
    const number = this.#order(this.#consumed - this.#current.before);
    const { offset } = this.#current;
    this.#consumed++;
    this.#advance();
    return { offset, number };
  }

  #epochOrder(): Order {
    const epoch = this.#index;
    const order = epochOrder(this.#seed, epoch, this.#current.count);
    const lengths = this.#lengths;
    if (lengths === undefined) return order;
    return groupedOrder(order, lengths, (stretch) => new RandomStream(this.#seed, `data.groups.${stretch}`, epoch));
  }

  /** Moves to the epoch that the next example belongs to. */
  #advance(): void {
    while (this.#consumed >= this.#current.before + this.#current.count) {
      const before = this.#current.before + this.#current.count;
      this.#index++;
      this.#current = { before, ...this.#describe(this.#index) };
      this.#order = undefined;
    }
  }
}

/** The offsets an epoch can start from: 0 … T − 1, but never so large that no window is left. */
function offsetCount(tokens: number, blockSize: number): number {
  return Math.min(blockSize, tokens - blockSize);
}

/** @throws EMPTY_DATA, DATA_TOO_SHORT unless there is one window of blockSize + 1 tokens. */
function requireWindow(tokens: number, blockSize: number): void {
  if (tokens === 0) throw new FerroError('EMPTY_DATA', 'training data: must have tokens, got none');
  if (tokens >= blockSize + 1) return;
  throw new FerroError(
    'DATA_TOO_SHORT',
    `training data: must have at least blockSize + 1 = ${blockSize + 1} tokens, got ${tokens}; blockSize can be at most ${tokens - 1}`,
  );
}

/**
 * Training windows of a text: T + 1 tokens each, one every T tokens from an offset drawn per epoch, in a seeded order; each window of an epoch once.
 * Rows: inputIds are a window's first T tokens, labels its last T.
 */
export class WindowSampler implements Sampler {
  readonly #dataset: TokenDataset;
  readonly #blockSize: number;
  readonly #cursor: EpochCursor;

  /** @throws EMPTY_DATA, DATA_TOO_SHORT, INVALID_OPTION */
  constructor(dataset: TokenDataset, options: SamplerOptions) {
    const { blockSize, seed, consumed = 0 } = options;
    requireCount('WindowSampler', 'blockSize', blockSize, 1);
    requireCount('WindowSampler', 'seed', seed, 0);
    requireCount('WindowSampler', 'consumed', consumed, 0);
    requireWindow(dataset.length, blockSize);
    this.#dataset = dataset;
    this.#blockSize = blockSize;
    const offsets = offsetCount(dataset.length, blockSize);
    this.#cursor = new EpochCursor(seed, consumed, (epoch) => {
      const offset = new RandomStream(seed, 'data.offset', epoch).below(offsets);
      return { offset, count: Math.floor((dataset.length - 1 - offset) / blockSize) };
    });
  }

  get consumed(): number {
    return this.#cursor.consumed;
  }

  get epoch(): number {
    return this.#cursor.epoch;
  }

  /** @returns tensors inputIds and labels, i32 [batchSize, T]; exampleIds are each window's first token. */
  async nextBatch(batchSize: number): Promise<Batch> {
    requireCount('nextBatch', 'batchSize', batchSize, 1);
    const T = this.#blockSize;
    const inputIds = new Int32Array(batchSize * T);
    const labels = new Int32Array(batchSize * T);
    const window = new Int32Array(T + 1);
    const exampleIds: number[] = [];
    for (let row = 0; row < batchSize; row++) {
      const { offset, number } = this.#cursor.next();
      const start = offset + number * T;
      this.#dataset.copyTokens(start, T + 1, window, 0);
      inputIds.set(window.subarray(0, T), row * T);
      labels.set(window.subarray(1), row * T);
      exampleIds.push(start);
    }
    const shape = [batchSize, T];
    const tensors: BatchTensors = { inputIds: { data: inputIds, shape }, labels: { data: labels, shape: [...shape] } };
    return { tensors, exampleIds, consumed: this.consumed };
  }
}

/** Examples of a data set of one's own, in a seeded order, each once per epoch; those of near length follow each other where the data set gives `lengths`. */
export class ExampleSampler implements Sampler {
  readonly #dataset: ExampleDataset;
  readonly #cursor: EpochCursor;

  /** @throws EMPTY_DATA, INVALID_OPTION */
  constructor(dataset: ExampleDataset, options: Omit<SamplerOptions, 'blockSize'>) {
    const { seed, consumed = 0 } = options;
    requireCount('ExampleSampler', 'seed', seed, 0);
    requireCount('ExampleSampler', 'consumed', consumed, 0);
    if (dataset.length === 0) throw new FerroError('EMPTY_DATA', 'training data: must have examples, got none');
    requireCount('ExampleSampler', 'dataset.length', dataset.length, 1);
    const { lengths } = dataset;
    if (lengths !== undefined && lengths.length !== dataset.length) {
      throw new FerroError(
        'INVALID_OPTION',
        `ExampleSampler: dataset.lengths must have one number per example (${dataset.length}), got ${lengths.length}`,
      );
    }
    this.#dataset = dataset;
    this.#cursor = new EpochCursor(seed, consumed, () => ({ offset: 0, count: dataset.length }), lengths);
  }

  get consumed(): number {
    return this.#cursor.consumed;
  }

  get epoch(): number {
    return this.#cursor.epoch;
  }

  async nextBatch(batchSize: number): Promise<Batch> {
    requireCount('nextBatch', 'batchSize', batchSize, 1);
    const exampleIds = Array.from({ length: batchSize }, () => this.#cursor.next().number);
    const { consumed } = this;
    return { tensors: await this.#dataset.batch(exampleIds), exampleIds, consumed };
  }
}

/** The sampler for a data set of either kind. */
export function createSampler(dataset: Dataset, options: SamplerOptions): Sampler {
  checkNames('createSampler', options, SAMPLER_OPTIONS);
  return isTokenDataset(dataset) ? new WindowSampler(dataset, options) : new ExampleSampler(dataset, options);
}

/** Windows (or examples) in one epoch, at most; a text's epoch has one fewer for some offsets. @throws EMPTY_DATA, DATA_TOO_SHORT */
export function examplesPerEpoch(dataset: Dataset, blockSize: number): number {
  if (!isTokenDataset(dataset)) return dataset.length;
  requireWindow(dataset.length, blockSize);
  return Math.floor((dataset.length - 1) / blockSize);
}

/** Updates that one epoch takes with `examplesPerStep` windows (batch size times accumulation steps) in each; at least 1. */
export function stepsPerEpoch(dataset: Dataset, options: { blockSize: number; examplesPerStep: number }): number {
  return Math.max(1, Math.ceil(examplesPerEpoch(dataset, options.blockSize) / options.examplesPerStep));
}
