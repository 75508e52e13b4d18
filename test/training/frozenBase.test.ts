// Adapters in f32 on frozen weights in bf16 or int8 blocks: every loss and every trained number has the bits it has on the same base in f32, and the base
// stays as it is.
import {
  add,
  Block,
  countLabels,
  dequantizeQ8,
  Embedding,
  type Engine,
  LayerNorm,
  LearnedPositions,
  type Linear,
  linear,
  linearCrossEntropy,
  Module,
  normal,
  packQ8,
  type Quantization,
  quantizeModule,
  quantizeQ8,
  scale,
  type Tensor,
  Variable,
} from 'ferroformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startEngine } from '../support/engine';

const [WIDTH, VOCABULARY, CONTEXT, ROWS] = [40, 37, 16, 3];

/** base(x) + 2·x·Aᵀ·Bᵀ with A [4, in] and B [out, 4]. */
class Adapted extends Module {
  readonly a: Variable;
  readonly b: Variable;
  constructor(readonly base: Linear) {
    super();
    this.a = new Variable({ name: 'a', shape: [4, base.inFeatures], init: normal(0.1) });
    this.b = new Variable({ name: 'b', shape: [base.outFeatures, 4], init: normal(0.1) });
  }
  override forward(x: Tensor): Tensor {
    const inner = scale(linear(x, this.a, undefined, { transposed: true }), 2);
    return add(this.base.forward(x), linear(inner, this.b, undefined, { transposed: true }));
  }
}

class Model extends Module {
  readonly wte = new Embedding(VOCABULARY, WIDTH);
  readonly wpe = new LearnedPositions(CONTEXT, WIDTH);
  readonly blocks = [0, 1].map(() => new Block(WIDTH, { nHead: 4 }));
  readonly norm = new LayerNorm(WIDTH);
  override forward(ids: Tensor): Tensor {
    return this.norm.forward(this.blocks.reduce((x, block) => block.forward(x), this.wpe.forward(this.wte.forward(ids))));
  }
}

function adapted(form: Quantization | 'f32'): Model {
  const model = new Model();
  if (form === 'f32') for (const variable of model.namedVariables().values()) variable.trainable = false;
  else quantizeModule(model, form);
  for (const { attn, mlp } of model.blocks) {
    // Fields are readonly to everybody but those who put adapters into a module.
    Object.assign(attn, { c_attn: new Adapted(attn.c_attn as Linear) });
    Object.assign(mlp, { c_proj: new Adapted(mlp.c_proj) });
  }
  return model;
}

const loss = (model: Model, { inputIds, labels }: Record<string, Tensor>) => ({
  sum: linearCrossEntropy(model.forward(inputIds), model.wte.weight.tensor, labels).loss,
  count: countLabels(labels),
});

const numbers = (length: number, seed: number) =>
  Int32Array.from({ length }, (_, i) => (Math.imul(i * 31 + seed, 2654435761) >>> 8) % VOCABULARY);

const batch = (seed: number) => {
  const shape = [ROWS, CONTEXT];
  const labels = numbers(ROWS * CONTEXT, seed + 1).map((id, i) => (i % 7 === 3 ? -100 : id));
  return { inputIds: { data: numbers(ROWS * CONTEXT, seed), shape }, labels: { data: labels, shape } };
};

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine.close());

type Bound = Awaited<ReturnType<typeof engine.bind<Model>>>;

/** Gives both models one base: what `plain` has, rounded. */
async function share(form: Quantization, frozen: Bound, plain: Bound): Promise<void> {
  for (const [name, parameter] of frozen.parameters) {
    if (parameter.variable.dtype === 'f32') continue;
    const twin = plain.parameters.get(name)!;
    const data = (await twin.data()) as Float32Array;
    if (form === 'bf16') {
      await parameter.set(data);
      await twin.set(await parameter.data());
    } else {
      const transposed = name !== 'wte.weight'; // linear layers lie [in, out] in f32
      const [rows, columns] = parameter.shape;
      const matrix = quantizeQ8(name, data, rows, columns, transposed);
      await engine.host.write(parameter.variable, packQ8(matrix));
      await twin.set(dequantizeQ8(matrix, transposed));
    }
  }
}

const parts = (bound: Bound, trained: boolean) =>
  Promise.all(
    [...bound.parameters]
      .filter(([, { trainable }]) => trainable === trained)
      .map(async ([name, { variable }]) => [name, await engine.host.read(variable)] as const),
  );

/** Four steps of two micro-batches; losses. */
async function train(bound: Bound, gradientCheckpointing = false): Promise<number[]> {
  const step = engine.trainStep(bound, { loss, optimizer: { optim: 'adamw', learningRate: 1e-2 }, gradientCheckpointing });
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) losses.push((await step([batch(1), batch(50)])).loss);
  return losses;
}

describe.each(['bf16', 'int8'] as const)('adapters on a base in %s', (form) => {
  test('train as on the same base in f32, bit for bit, and so with gradient checkpointing; the base stays', async () => {
    const [frozen, again] = [await engine.bind(adapted(form), { seed: 4 }), await engine.bind(adapted(form), { seed: 4 })];
    const plain = await engine.bind(adapted('f32'), { seed: 4 });
    await share(form, frozen, plain);
    for (const [name, { variable }] of frozen.parameters)
      await engine.host.write(again.parameters.get(name)!.variable, await engine.host.read(variable));
    const before = await parts(frozen, false);
    const losses = await train(frozen);
    expect(losses[3]).toBeLessThan(losses[0]);
    expect(await train(plain)).toEqual(losses);
    expect(await train(again, true)).toEqual(losses);
    const adapters = await parts(frozen, true);
    expect(adapters).toHaveLength(8);
    for (const bound of [plain, again]) expect(await parts(bound, true)).toEqual(adapters);
    expect(await parts(frozen, false)).toEqual(before);
    for (const bound of [frozen, plain, again]) await bound.close();
  });
});
