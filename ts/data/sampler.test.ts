import { describe, expect, test } from 'vitest';
import type { Batch, ExampleDataset } from './dataset';
import { createSampler, ExampleSampler, examplesPerEpoch, stepsPerEpoch, WindowSampler } from './sampler';
import { TextDataset } from './textDataset';

/** Tokens 0, 1, 2 …: a token tells where it stands. */
const counting = (length: number) =>
  TextDataset.fromTokens(
    Int32Array.from({ length }, (_, i) => i),
    { vocabSize: Math.max(1, length) },
  );

/** Window starts in the order they are served. */
async function starts(
  dataset: TextDataset,
  options: { blockSize: number; seed: number; consumed?: number },
  count: number,
): Promise<number[]> {
  const sampler = new WindowSampler(dataset, options);
  const result: number[] = [];
  while (result.length < count) result.push(...(await sampler.nextBatch(1)).exampleIds);
  return result;
}

describe('WindowSampler', () => {
  test('rows are T tokens and the T that follow them', async () => {
    const sampler = new WindowSampler(counting(1000), { blockSize: 8, seed: 1 });
    for (let i = 0; i < 40; i++) {
      const { tensors, exampleIds, consumed } = await sampler.nextBatch(5);
      expect(tensors.inputIds.shape).toEqual([5, 8]);
      expect(tensors.labels.shape).toEqual([5, 8]);
      expect(consumed).toBe(5 * (i + 1));
      for (const [row, start] of exampleIds.entries()) {
        const at = (data: ArrayLike<number>) => Array.from({ length: 8 }, (_, t) => data[row * 8 + t]);
        expect(at(tensors.inputIds.data)).toEqual(Array.from({ length: 8 }, (_, t) => start + t));
        expect(at(tensors.labels.data)).toEqual(Array.from({ length: 8 }, (_, t) => start + t + 1));
      }
    }
  });

  test('each epoch serves every full window from its offset exactly once, whatever the sizes', async () => {
    for (const [length, T] of [
      [9, 8],
      [10, 8],
      [17, 8],
      [24, 8],
      [25, 8],
      [26, 8],
      [33, 8],
      [2, 1],
      [50, 1],
      [203, 7],
      [1000, 64],
    ]) {
      const served = await starts(counting(length), { blockSize: T, seed: 3 }, 12 * Math.ceil(length / T));
      let at = 0;
      for (let epoch = 0; epoch < 5; epoch++) {
        const offset = served[at] % T;
        const count = Math.floor((length - 1 - offset) / T);
        const windows = served.slice(at, at + count).sort((a, b) => a - b);
        const expected = Array.from({ length: count }, (_, k) => offset + k * T);
        expect(windows, `${length} tokens, T ${T}, epoch ${epoch}`).toEqual(expected);
        expect(expected.at(-1)! + T, 'the last window has its last label').toBeLessThan(length);
        at += count;
      }
    }
  });

  test('offsets and orders differ between epochs and seeds, and every offset occurs', async () => {
    const dataset = counting(8 * 50 + 8);
    const sampler = new WindowSampler(dataset, { blockSize: 8, seed: 5 });
    const offsets = new Set<number>();
    const orders = new Set<string>();
    for (let epoch = 0; epoch < 200; epoch++) {
      const ids: number[] = [];
      const now = Math.floor(sampler.epoch);
      while (Math.floor(sampler.epoch) === now) ids.push(...(await sampler.nextBatch(1)).exampleIds);
      offsets.add(ids[0] % 8);
      orders.add(ids.join());
    }
    expect([...offsets].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(orders.size).toBe(200);
    expect(await starts(dataset, { blockSize: 8, seed: 6 }, 50)).not.toEqual(await starts(dataset, { blockSize: 8, seed: 5 }, 50));
  });

  test('the first window is any window about equally often (chi-square over 2000 seeds)', async () => {
    const counts = new Array<number>(20).fill(0);
    const dataset = counting(21); // T = 1: 20 windows, offset always 0
    for (let seed = 0; seed < 2000; seed++) counts[(await starts(dataset, { blockSize: 1, seed }, 1))[0]]++;
    const chiSquare = counts.reduce((sum, n) => sum + ((n - 100) * (n - 100)) / 100, 0);
    expect(chiSquare).toBeLessThan(51); // 19 degrees of freedom: p ≈ 1e-4
  });

  test('resuming at every point of several epochs goes on as if nothing had happened', async () => {
    const dataset = counting(83);
    const total = 60; // more than five epochs
    const all = await starts(dataset, { blockSize: 8, seed: 11 }, total);
    for (let consumed = 0; consumed < total; consumed++) {
      const rest = await starts(dataset, { blockSize: 8, seed: 11, consumed }, total - consumed);
      expect(rest, `resumed at ${consumed}`).toEqual(all.slice(consumed));
    }
  });

  test('the same windows come whatever the batch size, also across epochs', async () => {
    const dataset = counting(83);
    const all = await starts(dataset, { blockSize: 8, seed: 11 }, 60);
    for (const batchSize of [2, 7, 10, 11, 60]) {
      const sampler = new WindowSampler(dataset, { blockSize: 8, seed: 11 });
      const got: number[] = [];
      while (got.length < 60) got.push(...(await sampler.nextBatch(batchSize)).exampleIds);
      expect(got.slice(0, 60), `batch size ${batchSize}`).toEqual(all);
    }
  });

  test('tiny data sets of 1, 2 and 3 windows wrap', async () => {
    for (const windows of [1, 2, 3]) {
      const dataset = counting(4 * windows + 1);
      const sampler = new WindowSampler(dataset, { blockSize: 4, seed: 0 });
      const { exampleIds } = await sampler.nextBatch(100);
      expect(exampleIds).toHaveLength(100);
      expect(Math.max(...exampleIds)).toBeLessThanOrEqual(4 * (windows - 1));
      if (windows > 1) continue;
      expect(new Set(exampleIds)).toEqual(new Set([0]));
      expect(sampler.epoch, 'no epoch is without a window').toBe(100);
    }
  });

  test('a known order: what a seed means must not change between versions', async () => {
    expect(await starts(counting(101), { blockSize: 10, seed: 42 }, 12)).toEqual([42, 12, 52, 72, 2, 62, 22, 32, 82, 68, 18, 8]);
  });

  test('an epoch is counted as a real number', async () => {
    const sampler = new WindowSampler(counting(11), { blockSize: 1, seed: 0 });
    expect(sampler.epoch).toBe(0);
    await sampler.nextBatch(5);
    expect(sampler.epoch).toBe(0.5);
    await sampler.nextBatch(10);
    expect(sampler.epoch).toBe(1.5);
    expect(new WindowSampler(counting(11), { blockSize: 1, seed: 0, consumed: 25 }).epoch).toBe(2.5);
  });

  test('data that is too short, and options that are none, are typed errors with the numbers', async () => {
    const make = (length: number, options: Partial<{ blockSize: number; seed: number; consumed: number }>) => () =>
      new WindowSampler(counting(length), { blockSize: 8, seed: 0, ...options });
    expect(make(8, {})).toThrowError(
      expect.objectContaining({
        code: 'DATA_TOO_SHORT',
        message: 'training data: must have at least blockSize + 1 = 9 tokens, got 8; blockSize can be at most 7',
      }),
    );
    expect(make(9, {})).not.toThrow();
    expect(() => new WindowSampler(counting(9).slice(0, 0), { blockSize: 8, seed: 0 })).toThrowError(
      expect.objectContaining({ code: 'EMPTY_DATA' }),
    );
    for (const bad of [0, -1, 1.5, Number.NaN])
      expect(make(20, { blockSize: bad })).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    for (const bad of [-1, 0.5, Number.NaN, 2 ** 53]) {
      expect(make(20, { seed: bad })).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
      expect(make(20, { consumed: bad })).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    }
    const sampler = new WindowSampler(counting(20), { blockSize: 8, seed: 0 });
    await expect(sampler.nextBatch(0)).rejects.toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  test('windows and steps of an epoch', () => {
    expect(examplesPerEpoch(counting(1001), 10)).toBe(100);
    expect(examplesPerEpoch(counting(1000), 10)).toBe(99);
    expect(stepsPerEpoch(counting(1001), { blockSize: 10, examplesPerStep: 12 })).toBe(9);
    expect(stepsPerEpoch(counting(11), { blockSize: 10, examplesPerStep: 12 })).toBe(1);
    expect(() => examplesPerEpoch(counting(10), 10)).toThrowError(expect.objectContaining({ code: 'DATA_TOO_SHORT' }));
  });
});

describe('ExampleSampler', () => {
  const squares: ExampleDataset = {
    length: 10,
    batch: (indices) => ({ x: { data: Float32Array.from(indices, (i) => i * i), shape: [indices.length, 1] } }),
  };

  test('every example once per epoch, in a new order each time; the rows are those of the indices', async () => {
    const sampler = createSampler(squares, { blockSize: 1, seed: 9 });
    expect(sampler).toBeInstanceOf(ExampleSampler);
    const epochs: Batch[] = [];
    for (let epoch = 0; epoch < 3; epoch++) epochs.push(await sampler.nextBatch(10));
    for (const { tensors, exampleIds } of epochs) {
      expect([...exampleIds].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      expect(Array.from(tensors.x.data)).toEqual(exampleIds.map((i) => i * i));
    }
    expect(new Set(epochs.map(({ exampleIds }) => exampleIds.join())).size).toBe(3);
  });

  test('resuming at every point', async () => {
    const ids = async (consumed: number, count: number) =>
      (await new ExampleSampler(squares, { seed: 2, consumed }).nextBatch(count)).exampleIds;
    const all = await ids(0, 35);
    for (let consumed = 0; consumed < 35; consumed++) expect(await ids(consumed, 35 - consumed)).toEqual(all.slice(consumed));
  });

  test('a batch that is computed asynchronously carries its own state', async () => {
    const slow: ExampleDataset = { length: 4, batch: (indices) => Promise.resolve(squares.batch(indices)) };
    const sampler = new ExampleSampler(slow, { seed: 0 });
    const [first, second] = await Promise.all([sampler.nextBatch(3), sampler.nextBatch(3)]);
    expect([first.consumed, second.consumed]).toEqual([3, 6]);
  });

  test('no examples are a typed error', () => {
    expect(() => new ExampleSampler({ ...squares, length: 0 }, { seed: 0 })).toThrowError(expect.objectContaining({ code: 'EMPTY_DATA' }));
    expect(() => new ExampleSampler({ ...squares, length: Number.NaN }, { seed: 0 })).toThrowError(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });
});
