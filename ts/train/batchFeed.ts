// The micro-batches of updates in the order of the data; those of the next update are prepared while the engine works. Which examples come when is
// ts/data's, what is done with them the Trainer's.
import { createSampler, type Dataset, isTokenDataset, type Sampler } from '../data';
import type { Batch } from '../nn';

/** A micro-batch and what to remember once it has been trained on. */
export interface PreparedBatch {
  tensors: Batch;
  consumed: number;
  epoch: number;
  /** Tokens (or examples) in it. */
  size: number;
}

/** What an update consists of. */
export interface FeedSettings {
  blockSize: number;
  seed: number;
  batchSize: number;
  gradientAccumulationSteps: number;
}

/** The batches of one training run. */
export class BatchFeed {
  readonly #dataset: Dataset;
  readonly #settings: FeedSettings;
  #sampler: Sampler;
  #prepared: Promise<PreparedBatch[]> | undefined;

  /** @param consumed windows (or examples) that earlier updates were trained on */
  constructor(dataset: Dataset, settings: FeedSettings, consumed = 0) {
    this.#dataset = dataset;
    this.#settings = settings;
    this.#sampler = this.#samplerFrom(consumed);
  }

  /** The micro-batches of the next update, in order. After an error `rewind` says where to go on. */
  async next(): Promise<PreparedBatch[]> {
    const batches = await (this.#prepared ?? this.#fetch());
    this.#prepared = undefined;
    return batches;
  }

  /** Begins to prepare the next update's. */
  prefetch(): void {
    this.#prepared = this.#fetch();
    this.#prepared.catch(() => {}); // awaited by `next`, which reports it
  }

  /** Goes on from a place, whatever has been prepared. */
  rewind(consumed: number): void {
    this.#sampler = this.#samplerFrom(consumed);
    this.#prepared = undefined;
  }

  #samplerFrom(consumed: number): Sampler {
    const { blockSize, seed } = this.#settings;
    return createSampler(this.#dataset, { blockSize, seed, consumed });
  }

  async #fetch(): Promise<PreparedBatch[]> {
    const { gradientAccumulationSteps, batchSize, blockSize } = this.#settings;
    const size = isTokenDataset(this.#dataset) ? batchSize * blockSize : batchSize;
    const sampler = this.#sampler;
    const batches: PreparedBatch[] = [];
    for (let i = 0; i < gradientAccumulationSteps; i++) {
      const { tensors, consumed } = await sampler.nextBatch(batchSize);
      batches.push({ tensors, consumed, epoch: sampler.epoch, size });
    }
    return batches;
  }
}
