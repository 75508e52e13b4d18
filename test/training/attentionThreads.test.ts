// Masks and packed documents: the number of threads and the kernel's cut of the work change no bit of results and gradients.
import { attentionQkv, constant, Module, mul, square, sum, type Tensor, Variable } from 'ferroformer';
import { expect, test } from 'vitest';
import { openEngine } from '../support/training';

const [B, T] = [2, 150];

class Masked extends Module {
  readonly qkv: Variable;
  constructor(
    readonly nHead: number,
    readonly limits: { mask?: Tensor; starts?: Tensor },
  ) {
    super();
    this.qkv = new Variable({ name: 'qkv', shape: [B, T, 24 * nHead], init: { kind: 'normal', mean: 0, std: 1 } });
  }

  override forward(weights: Tensor): Tensor {
    return mul(attentionQkv(this.qkv, { nHead: this.nHead, causal: true, ...this.limits }), weights);
  }
}

const starts = constant(
  Int32Array.from({ length: B * T }, (_, i) => (i % T < 70 ? 0 : i % T < 90 ? 70 : 90)),
  [B, T],
);
const mask = constant(
  Float32Array.from({ length: T * T }, (_, i) => (i % 7 === 3 ? Number.NEGATIVE_INFINITY : (i % 5) / 4)),
  [T, T],
);

test.each([
  ['few heads', 1, { mask, starts }],
  ['many heads', 4, { mask, starts }],
  ['first keys alone', 2, { starts }],
])('%s', async (_name, nHead, limits) => {
  const weights = { data: Float32Array.from({ length: B * T * 8 * nHead }, (_, i) => ((i * 7) % 11) - 5), shape: [B, T, 8 * nHead] };
  const found: Float32Array[][] = [];
  for (const threads of [1, 2, 3]) {
    const engine = await openEngine({ threads });
    const bound = await engine.bind(new Masked(nHead, limits), { seed: 4 });
    const step = engine.trainStep(bound, {
      loss: (module: Masked, batch: Record<string, Tensor>) => sum(square(module.forward(batch.weights))),
      optimizer: { learningRate: 0 },
    });
    await step({ weights });
    found.push([(await bound.forward(weights)).data as Float32Array, (await bound.parameters.get('qkv')!.grad())!]);
  }
  expect(found[0].every((data) => data.every(Number.isFinite) && data.some((x) => x !== 0))).toBe(true);
  expect(found[1]).toEqual(found[0]);
  expect(found[2]).toEqual(found[0]);
});
