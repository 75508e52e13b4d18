// Examples of near length together: each example of an epoch still once, resuming anywhere goes on as if nothing had happened, and batches have less padding.
import { expect, test } from 'vitest';
import { RandomStream } from '../math';
import type { ExampleDataset } from './dataset';
import { HELD_LIMIT } from './order';
import { ExampleSampler } from './sampler';

function dataset(count: number, grouped = true): ExampleDataset & { lengths?: number[] } {
  const random = new RandomStream(count, 'test');
  const lengths = Array.from({ length: count }, () => 1 + random.below(200));
  return { length: count, batch: () => ({}), ...(grouped ? { lengths } : {}) };
}

async function served(data: ExampleDataset, count: number, batchSize = 1, consumed = 0): Promise<number[]> {
  const sampler = new ExampleSampler(data, { seed: 5, consumed });
  const ids: number[] = [];
  while (ids.length < count) ids.push(...(await sampler.nextBatch(batchSize)).exampleIds);
  return ids.slice(0, count);
}

test.each([1, 2, 63, 64, 65, 130, 1000, 4096, 4097, 9001])(
  'each of %i examples comes once per epoch, in another order each time',
  async (count) => {
    const ids = await served(dataset(count), 3 * count);
    const epochs = [0, 1, 2].map((epoch) => ids.slice(epoch * count, (epoch + 1) * count));
    const all = Array.from({ length: count }, (_, i) => i);
    for (const epoch of epochs) expect([...epoch].sort((a, b) => a - b)).toEqual(all);
    if (count > 60) expect(new Set(epochs.map((epoch) => epoch.join())).size).toBe(3);
  },
);

test('an epoch above the limit of held orders: each example once', async () => {
  const count = HELD_LIMIT + 5;
  const ids = await served(dataset(count), count, 997);
  expect(new Set(ids).size).toBe(count);
});

test('resuming at any point, and any batch size, gives the same order', async () => {
  const data = dataset(300);
  const all = await served(data, 700);
  for (const consumed of [0, 1, 63, 64, 100, 256, 299, 300, 301, 450, 599, 600]) {
    expect(await served(data, 700 - consumed, 1, consumed), `${consumed}`).toEqual(all.slice(consumed));
  }
  for (const batchSize of [3, 16, 64, 700]) expect(await served(data, 700, batchSize)).toEqual(all);
});

test('batches of 16 are padded to less than 1.1 times their tokens on average, 1.7 times without grouping', async () => {
  const padding = async (grouped: boolean) => {
    const lengths = dataset(4000).lengths!;
    const sampler = new ExampleSampler(dataset(4000, grouped), { seed: 1 });
    let [padded, tokens] = [0, 0];
    for (let i = 0; i < 250; i++) {
      const batch = (await sampler.nextBatch(16)).exampleIds.map((id) => lengths[id]);
      padded += 16 * Math.max(...batch);
      tokens += batch.reduce((sum, length) => sum + length, 0);
    }
    return padded / tokens;
  };
  expect(await padding(true)).toBeLessThan(1.1);
  expect(await padding(false)).toBeGreaterThan(1.7);
});

test('long and short batches come in no order: the halves of an epoch have about the same lengths', async () => {
  const data = dataset(4096);
  const ids = await served(data, 4096);
  const mean = (part: number[]) => part.reduce((sum, id) => sum + data.lengths![id], 0) / part.length;
  expect(Math.abs(mean(ids.slice(0, 2048)) - mean(ids.slice(2048)))).toBeLessThan(40);
});

test('a known order; lengths must fit', async () => {
  const lengths = Array.from({ length: 130 }, (_, i) => i % 10);
  const data: ExampleDataset = { length: 130, batch: () => ({}), lengths };
  expect(await served(data, 8)).toEqual([97, 37, 79, 128, 59, 86, 66, 126]);
  expect(() => new ExampleSampler({ ...data, lengths: [1] }, { seed: 1 })).toThrowError(
    expect.objectContaining({ code: 'INVALID_OPTION' }),
  );
});
