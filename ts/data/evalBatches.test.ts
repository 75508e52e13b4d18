import { describe, expect, test } from 'vitest';
import type { Dataset, EvalBatch, ExampleDataset } from './dataset';
import { countPredictions, evalBatches } from './evalBatches';
import { TextDataset } from './textDataset';

const counting = (length: number) =>
  TextDataset.fromTokens(
    Int32Array.from({ length }, (_, i) => i),
    { vocabSize: 1 << 20 },
  );

async function collect(dataset: Dataset, blockSize: number, batchSize: number): Promise<EvalBatch[]> {
  const batches: EvalBatch[] = [];
  for await (const batch of evalBatches(dataset, { blockSize, batchSize })) batches.push(batch);
  return batches;
}

describe('evalBatches', () => {
  test('N tokens give N − 1 predictions, each of the token after its input, in order', async () => {
    for (const N of [2, 3, 7, 8, 9, 10, 16, 17, 18, 33, 64, 65, 100]) {
      for (const batchSize of [1, 2, 3, 50]) {
        const pairs: [number, number][] = [];
        for (const { tensors, rows, predictions } of await collect(counting(N), 8, batchSize)) {
          expect(tensors.inputIds.shape).toEqual([rows, 8]);
          expect(tensors.labels.shape).toEqual([rows, 8]);
          expect(rows).toBeLessThanOrEqual(batchSize);
          const { data: inputs } = tensors.inputIds;
          const counted = Array.from(tensors.labels.data).flatMap((label, i): [number, number][] =>
            label === -100 ? [] : [[inputs[i], label]],
          );
          expect(counted).toHaveLength(predictions);
          pairs.push(...counted);
        }
        expect(pairs, `${N} tokens, batches of ${batchSize}`).toEqual(Array.from({ length: N - 1 }, (_, i) => [i, i + 1]));
        expect(countPredictions(counting(N))).toBe(N - 1);
      }
    }
  });

  test('window k starts at token kT', async () => {
    const [batch] = await collect(counting(20), 8, 8);
    expect(batch.rows).toBe(3);
    expect([0, 8, 16].map((i) => batch.tensors.inputIds.data[i])).toEqual([0, 8, 16]);
    expect(Array.from(batch.tensors.labels.data.subarray(16))).toEqual([17, 18, 19, -100, -100, -100, -100, -100]);
  });

  test('examples come in order, the last batch shorter', async () => {
    const dataset: ExampleDataset = { length: 7, batch: (indices) => ({ i: { data: Int32Array.from(indices), shape: [indices.length] } }) };
    const batches = await collect(dataset, 1, 3);
    expect(batches.map(({ tensors, rows, predictions }) => [...tensors.i.data, rows, predictions])).toEqual([
      [0, 1, 2, 3, 3],
      [3, 4, 5, 3, 3],
      [6, 1, 1],
    ]);
    expect(countPredictions(dataset)).toBe(7);
  });

  test('too little data and bad options are typed errors', async () => {
    await expect(collect(counting(1), 8, 1)).rejects.toThrowError(expect.objectContaining({ code: 'DATA_TOO_SHORT' }));
    await expect(collect(counting(5).slice(2, 2), 8, 1)).rejects.toThrowError(expect.objectContaining({ code: 'EMPTY_DATA' }));
    for (const bad of [0, -1, 2.5, Number.NaN]) {
      await expect(collect(counting(9), bad, 1)).rejects.toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
      await expect(collect(counting(9), 8, bad)).rejects.toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    }
  });
});
