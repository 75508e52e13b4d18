import { describe, expect, test } from 'vitest';
import type { Dataset, EvalBatch, ExampleDataset } from './dataset';
import { countPredictions, evalBatches } from './evalBatches';
import { TextDataset } from './textDataset';

const counting = (length: number) =>
  TextDataset.fromTokens(
    Int32Array.from({ length }, (_, i) => i),
    { vocabSize: 1 << 20 },
  );

async function collect(dataset: Dataset, blockSize: number, batchSize: number, stride?: number): Promise<EvalBatch[]> {
  const batches: EvalBatch[] = [];
  for await (const batch of evalBatches(dataset, { blockSize, batchSize, stride })) batches.push(batch);
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

  test('with a stride every token is still predicted once, from what its window holds before it', async () => {
    for (const [N, T, S] of [
      [40, 8, 3],
      [40, 8, 1],
      [40, 8, 7],
      [41, 8, 8],
      [9, 8, 2],
      [10, 8, 2],
      [5, 8, 4],
      [2, 8, 4],
      [33, 16, 16],
    ]) {
      for (const batchSize of [1, 3, 50]) {
        const found: [number, number][] = [];
        for (const { tensors, rows, predictions } of await collect(counting(N), T, batchSize, S)) {
          const [inputs, labels] = [tensors.inputIds.data, tensors.labels.data];
          const before = found.length;
          for (let at = 0; at < rows * T; at++) {
            if (labels[at] === -100) continue;
            expect(labels[at]).toBe(inputs[at] + 1);
            found.push([labels[at], (at % T) + 1]);
          }
          expect(found.length - before).toBe(predictions);
        }
        // Token n is predicted in the first window k that reaches it, kS + T ≥ n, from n − kS tokens.
        const want = Array.from({ length: N - 1 }, (_, i) => {
          const n = i + 1;
          return [n, n - Math.max(0, Math.ceil((n - T) / S)) * S];
        });
        expect(found, `${N} tokens, T ${T}, S ${S}, batches of ${batchSize}`).toEqual(want);
      }
    }
    await expect(collect(counting(9), 8, 1, 9)).rejects.toThrowError('stride must be at most the context length 8, got 9');
    await expect(collect(counting(9), 8, 1, 0)).rejects.toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
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
