import { describe, expect, it } from 'vitest';
import { Extent, input, type Tensor, Variable } from '../graph';
import {
  asRowLoss,
  Block,
  batchInputs,
  batchSignature,
  Dropout,
  Embedding,
  LayerNorm,
  LearnedPositions,
  Linear,
  MLP,
  Module,
  MultiHeadAttention,
  nameModules,
  residualStd,
  SinusoidalPositions,
} from './index';

const names = (module: Module) =>
  Object.fromEntries(Array.from(module.namedVariables(), ([name, variable]) => [name, [...variable.shape]]));
const x = (...shape: number[]) => input('x', shape);
const dims = (tensor: Tensor) => [...tensor.shape];

class Pair extends Module {
  readonly scale = new Variable({ name: 'scale', shape: [3] });
  readonly layers = [new Linear(2, 3), new Linear(3, 2, { bias: false })];
  readonly head = this.layers[1];
  readonly note = 'not a parameter';
  readonly missing: Variable | undefined = undefined;
  override forward(input: Tensor): Tensor {
    return this.layers[1].forward(this.layers[0].forward(input));
  }
}

describe('gradientCheckpointing', () => {
  it('is switched for a module and its parts, and makes a block one region', () => {
    const block = new Block(8, { nHead: 2 });
    const out = () => block.forward(x(1, 4, 8));
    expect(out().node.region).toBeUndefined();
    expect(block.enableGradientCheckpointing()).toBe(block);
    expect([block.mlp.gradientCheckpointing, block.attn.c_proj.gradientCheckpointing]).toEqual([true, true]);
    expect(out().node.region).toBeTypeOf('symbol');
    block.enableGradientCheckpointing(false);
    expect(out().node.region).toBeUndefined();
  });
  it('is there for modules of your own', () => {
    class Own extends Module {
      readonly fc = new Linear(2, 2);
      override forward(x: Tensor): Tensor {
        return this.checkpoint(() => this.fc.forward(x));
      }
    }
    const own = new Own();
    expect(own.forward(x(1, 2)).node.region).toBeUndefined();
    expect(own.enableGradientCheckpointing().forward(x(1, 2)).node.region).toBeTypeOf('symbol');
  });
});

describe('Module', () => {
  it('finds variables and modules in fields and arrays by path, shared ones once', () => {
    expect(names(new Pair())).toEqual({ scale: [3], 'layers.0.weight': [2, 3], 'layers.0.bias': [3], 'layers.1.weight': [3, 2] });
    expect([...new Pair().namedModules().keys()]).toEqual(['', 'layers.0', 'layers.1']);
  });

  it('keeps a tied variable under its first name', () => {
    class Tied extends Module {
      readonly a = new Linear(2, 2, { bias: false });
      readonly b = this.a.weight;
      override forward(): void {}
    }
    expect(Object.keys(names(new Tied()))).toEqual(['a.weight']);
  });

  it('survives a part that points back to its parent', () => {
    class Loop extends Module {
      readonly part = new Linear(1, 1);
      parent: Module | undefined = undefined;
      override forward(): void {}
    }
    const loop = new Loop();
    loop.parent = loop;
    expect(Object.keys(names(loop))).toEqual(['part.weight', 'part.bias']);
  });

  it('names variables and modules when it is the root', () => {
    const pair = new Pair();
    const variables = nameModules(pair);
    expect(pair.layers[1].path).toBe('layers.1');
    expect(pair.layers[1].weight.name).toBe('layers.1.weight');
    expect([...variables.keys()]).toEqual([...variables.values()].map((variable) => variable.name));
    expect(() => nameModules({} as Module)).toThrow('bind: the module must extend Module, got object');
  });

  it('switches training for everything below', () => {
    const pair = new Pair().train();
    expect([pair.training, pair.layers[0].training]).toEqual([true, true]);
    pair.eval();
    expect([pair.training, pair.layers[0].training]).toEqual([false, false]);
  });
});

describe('layers', () => {
  it('Linear: [in, out], bias optional, biases not decayed', () => {
    const layer = new Linear(4, 6);
    expect([layer.weight.init, layer.bias?.init]).toEqual([{ kind: 'normal', mean: 0, std: 0.02 }, { kind: 'zeros' }]);
    expect([layer.weight.decay, layer.bias?.decay]).toEqual([true, false]);
    expect(dims(layer.forward(x(2, 5, 4)))).toEqual([2, 5, 6]);
    expect(() => layer.forward(x(2, 5, 3))).toThrow(expect.objectContaining({ code: 'INVALID_SHAPE' }));
    expect(new Linear(4, 6, { bias: false }).bias).toBeUndefined();
  });

  it('Embedding and positions', () => {
    const ids = input('ids', [2, 5], 'i32');
    expect(dims(new Embedding(7, 4).forward(ids))).toEqual([2, 5, 4]);
    const learned = new LearnedPositions(8, 4);
    expect(learned.weight.trainable).toBe(true);
    expect(dims(learned.forward(x(2, 5, 4)))).toEqual([2, 5, 4]);
    expect(dims(learned.forward(x(1, 1, 4), new Extent('position', 7)))).toEqual([1, 1, 4]);
    expect(() => learned.forward(x(2, 9, 4))).toThrow(expect.objectContaining({ code: 'INVALID_SHAPE' }));
    const fixed = new SinusoidalPositions(8, 4, { noise: 0.01 });
    expect([fixed.weight.trainable, fixed.weight.init]).toEqual([false, { kind: 'sinusoidal', noise: 0.01 }]);
  });

  it('LayerNorm: ones and zeros, never decayed', () => {
    const norm = new LayerNorm(4);
    expect([norm.weight.init.kind, norm.bias?.init.kind, norm.weight.decay, norm.bias?.decay]).toEqual(['ones', 'zeros', false, false]);
    expect(names(new LayerNorm(4, { bias: false }))).toEqual({ weight: [4] });
    expect(dims(norm.forward(x(3, 4)))).toEqual([3, 4]);
  });

  it('Dropout does nothing in evaluation or with p = 0, and needs a path in training', () => {
    const value = x(2, 3);
    const layer = new Dropout(0.5);
    expect(layer.forward(value)).toBe(value);
    expect(new Dropout(0).train().forward(value)).toBe(value);
    expect(() => layer.train().forward(value)).toThrow('Dropout: the module must be named before it is traced in training');
    nameModules(layer);
    expect(layer.forward(value)).not.toBe(value);
  });

  it('gives two dropouts of one model different paths', () => {
    class Two extends Module {
      readonly first = new Dropout(0.5);
      readonly second = new Dropout(0.5);
      override forward(value: Tensor): Tensor[] {
        return [this.first.forward(value), this.second.forward(value)];
      }
    }
    const two = new Two().train();
    nameModules(two);
    const paths = two.forward(x(2, 3)).map((tensor) => (tensor.node.attrs as { path: string }).path);
    expect(paths).toEqual(['first', 'second']);
  });

  it('MLP and Block have the names of GPT-2', () => {
    expect(names(new MLP(4))).toEqual({ 'c_fc.weight': [4, 16], 'c_fc.bias': [16], 'c_proj.weight': [16, 4], 'c_proj.bias': [4] });
    const block = new Block(4, { nHead: 2, bias: false, projectionStd: residualStd(8) });
    expect(names(block)).toEqual({
      'ln_1.weight': [4],
      'attn.c_attn.weight': [4, 12],
      'attn.c_proj.weight': [4, 4],
      'ln_2.weight': [4],
      'mlp.c_fc.weight': [4, 16],
      'mlp.c_proj.weight': [16, 4],
    });
    expect([block.attn.c_proj.weight.init, block.mlp.c_proj.weight.init]).toEqual(
      new Array(2).fill({ kind: 'normal', mean: 0, std: 0.005 }),
    );
    expect(dims(block.forward(x(2, 3, 4)))).toEqual([2, 3, 4]);
  });

  it.each([
    [() => new Linear(0, 3), 'Linear: "inFeatures" must be a positive integer, got 0'],
    [() => new Linear(3, 2.5), 'Linear: "outFeatures" must be a positive integer, got 2.5'],
    [() => new Linear(3, 2 ** 31), '"outFeatures" must be a positive integer'],
    [() => new Embedding(-1, 3), 'Embedding: "numEmbeddings"'],
    [() => new LayerNorm(Number.NaN), 'LayerNorm: "width" must be a positive integer, got NaN'],
    [() => new LayerNorm(3, { eps: 0 }), 'LayerNorm: "eps" must be a positive number, got 0'],
    [() => new Dropout(1), 'Dropout: "dropout" must be a number from 0 to below 1, got 1'],
    [() => new Dropout(Number.NaN), 'got NaN'],
    [() => new MultiHeadAttention(10, { nHead: 4 }), '"width" must be divisible by nHead, got width 10 and nHead 4'],
    [() => new SinusoidalPositions(4, 4, { noise: -1 }), '"noise" must be 0 or a positive number, got -1'],
  ])('rejects bad sizes (%#)', (make, message) => {
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

describe('MultiHeadAttention', () => {
  it('attends to itself or to a context', () => {
    const self = new MultiHeadAttention(8, { nHead: 2 });
    expect(names(self)).toEqual({ 'c_attn.weight': [8, 24], 'c_attn.bias': [24], 'c_proj.weight': [8, 8], 'c_proj.bias': [8] });
    expect(dims(self.forward(x(2, 5, 8)))).toEqual([2, 5, 8]);
    const cross = new MultiHeadAttention(8, { nHead: 2, causal: false, contextWidth: 6, bias: false });
    expect(names(cross)).toEqual({ 'q_attn.weight': [8, 8], 'k_attn.weight': [6, 8], 'v_attn.weight': [6, 8], 'c_proj.weight': [8, 8] });
    expect(dims(cross.forward(x(2, 5, 8), { context: input('c', [2, 3, 6]), keyMask: input('m', [2, 3], 'i32') }))).toEqual([2, 5, 8]);
  });
  it('refuses a context it has no projections for, and a missing one', () => {
    const context = input('c', [2, 3, 8]);
    expect(() => new MultiHeadAttention(8, { nHead: 2 }).forward(x(2, 5, 8), { context })).toThrow('forward takes no context');
    expect(() => new MultiHeadAttention(8, { nHead: 2, contextWidth: 8 }).forward(x(2, 5, 8))).toThrow('forward takes a context');
  });
});

describe('losses and batches', () => {
  it('a plain tensor counts as 1', () => {
    const { sum, count } = asRowLoss(x(3));
    expect([dims(sum), dims(count)]).toEqual([[3], [1]]);
    const loss = { sum: x(2, 3), count: x(1) };
    expect(asRowLoss(loss)).toBe(loss);
  });
  it.each([
    [3, 'got 3'],
    [undefined, 'got undefined'],
    [{ sum: 1, count: 2 }, 'got an object with sum, count'],
    [{}, 'got an object with nothing'],
  ])('refuses %o', (value, message) => {
    expect(() => asRowLoss(value)).toThrow(message);
  });
  it('refuses a count of several elements', () => {
    expect(() => asRowLoss({ sum: x(3), count: x(3) })).toThrow('count must have one element, got f32[3]');
  });
  it('describes and checks batches', () => {
    const batch = { ids: { data: new Int32Array(6), shape: [2, 3] }, y: { data: new Float32Array(2), shape: [2] } };
    expect(batchSignature(batch)).toBe('ids:i32[2,3] y:f32[2]');
    expect(Object.values(batchInputs(batch)).map(String)).toEqual(['i32[2, 3]', 'f32[2]']);
    expect(() => batchInputs({ ids: { data: new Int32Array(5), shape: [2, 3] } })).toThrow(
      'batch: "ids" must have a shape of positive integers whose product is its 5 elements, got [2,3]',
    );
    expect(() => batchInputs({ ids: { data: [1, 2] as unknown as Int32Array, shape: [2] } })).toThrow(
      expect.objectContaining({ code: 'INVALID_DTYPE' }),
    );
    expect(() => batchInputs({ ids: undefined as never })).toThrow(expect.objectContaining({ code: 'INVALID_DTYPE' }));
  });
});
