// The training steps that `bench` measures (docs/measurements.md; scripts/bench/sizes.mjs has the same), with models and random batches of these shapes.

import type { GPTOptions, HostTensor } from '../../index';
import { RandomStream } from '../../math';

/** Layers, heads, width, context, batch, vocabulary. */
export const SIZES = {
  S: { nLayer: 4, nHead: 4, nEmbd: 128, blockSize: 64, batchSize: 12, vocabSize: 65 },
  M: { nLayer: 6, nHead: 6, nEmbd: 384, blockSize: 256, batchSize: 16, vocabSize: 65 },
  L: { nLayer: 12, nHead: 12, nEmbd: 768, blockSize: 64, batchSize: 4, vocabSize: 50257 },
} as const;

/** One of the sizes. */
export type SizeName = keyof typeof SIZES;

/** The model of a size, always with the same initial weights. */
export function modelOf(size: SizeName): GPTOptions {
  const { batchSize: _rows, ...shape } = SIZES[size];
  return { ...shape, seed: 1 };
}

/** Four batches of random tokens, always the same. */
export function randomBatches(size: SizeName): Record<string, HostTensor>[] {
  const { batchSize: rows, blockSize: time, vocabSize } = SIZES[size];
  const random = new RandomStream(0, 'bench');
  const ids = () => Int32Array.from({ length: rows * time }, () => random.below(vocabSize));
  return Array.from({ length: 4 }, () => ({
    inputIds: { data: ids(), shape: [rows, time] },
    labels: { data: ids(), shape: [rows, time] },
  }));
}
