import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BoundModule, bind } from '../bind';
import { evalBatches } from '../data';
import { EngineHost } from '../engine';
import { fill, mean, square, sub, sum, type Tensor } from '../graph';
import { Linear, type Loss } from '../nn';
import { Evaluator } from './evaluate';

let host: EngineHost;
let model: BoundModule<Linear>;
beforeAll(async () => {
  host = await EngineHost.start({ worker: false, simd: 'portable' });
  model = await bind(host, new Linear(1, 1));
  await model.parameters.get('weight')!.set(Float32Array.of(2));
});
afterAll(() => host?.close());

// y = 0 and x = 0 … n−1, so that the loss of row i is (2i)².
const examples = (length: number) => ({
  length,
  batch: (indices: readonly number[]) => ({
    x: { data: Float32Array.from(indices), shape: [indices.length, 1] },
    y: { data: new Float32Array(indices.length), shape: [indices.length, 1] },
  }),
});
const squares = (module: Linear, { x, y }: Record<string, Tensor>) => square(sub(module.forward(x), y));
const rowLoss: Loss<Linear> = (module, batch) => ({ sum: squares(module, batch), count: sum(fill([batch.y.shape[0]], 1)) });
const meanLoss: Loss<Linear> = (module, batch) => mean(squares(module, batch));

async function evaluate(loss: Loss<Linear>, length: number) {
  const evaluator = new Evaluator(model as unknown as BoundModule, loss as Loss, 4);
  const before = (await host.bytes()).programsLoaded;
  const result = await evaluator.run(evalBatches(examples(length), { batchSize: 4, blockSize: 1 }));
  const programs = (await host.bytes()).programsLoaded - before;
  await evaluator.close();
  expect((await host.bytes()).programsLoaded).toBe(before);
  return { ...result, programs };
}

describe('Evaluator', () => {
  it('takes the mean over all rows, ragged last batch included, through one program', async () => {
    const mean10 = (4 * (81 + 64 + 49 + 36 + 25 + 16 + 9 + 4 + 1)) / 10;
    expect(await evaluate(rowLoss, 10)).toEqual({ loss: mean10, perplexity: expect.any(Number), tokens: 10, programs: 1 });
  });

  it('also takes a loss that must know the number of rows, through one program for each number', async () => {
    const means = [(4 * (0 + 1 + 4 + 9)) / 4, (4 * (16 + 25 + 36 + 49)) / 4, (4 * (64 + 81)) / 2];
    const { loss, tokens, programs } = await evaluate(meanLoss, 10);
    expect(loss).toBeCloseTo((means[0] + means[1] + means[2]) / 3, 4);
    expect([tokens, programs]).toEqual([3, 2]);
    expect((await evaluate(meanLoss, 8)).programs).toBe(1);
  });

  it('reports a shape that is wrong in itself', async () => {
    const wrong: Loss<Linear> = (module, { x, y }) => sub(module.forward(x), fill([3, 3], 1)) && sub(y, fill([3, 3], 1));
    await expect(evaluate(wrong, 8)).rejects.toMatchObject({ code: 'INVALID_SHAPE' });
  });
});
