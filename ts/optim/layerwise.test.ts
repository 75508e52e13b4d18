// Depths by name, and the optimizers' rates: nothing changes where all factors are 1.
import { describe, expect, it } from 'vitest';
import { constant, Variable } from '../graph';
import { AdamW, layerDepths, layerwiseFactors, SGD } from './index';

describe('depths of layers', () => {
  it.each([
    [
      [
        'transformer.wte.weight',
        'transformer.wpe.weight',
        'transformer.h.0.ln_1.weight',
        'transformer.h.1.mlp.c_fc.bias',
        'transformer.ln_f.bias',
        'score.weight',
      ],
      [3, 3, 2, 1, 0, 0],
    ],
    [
      [
        'model.embed_tokens.weight',
        'model.layers.0.mlp.up_proj.weight',
        'model.layers.10.mlp.up_proj.weight',
        'model.norm.weight',
        'lm_head.weight',
      ],
      [12, 11, 1, 0, 0],
    ],
    [
      [
        'encoder.layers.0.norm1.weight',
        'encoder.layers.1.norm1.weight',
        'decoder.layers.0.norm1.weight',
        'source_embedding.weight',
        'target_positions.weight',
        'decoder.norm.bias',
        'generator.weight',
      ],
      [2, 1, 1, 3, 3, 0, 0],
    ],
    [
      ['h.0.x.lora_A.default.weight', 'h.1.x.lora_A.default.weight'],
      [2, 1],
    ],
  ])('%j', (names, depths) => {
    expect(names.map((name) => layerDepths('test', names).get(name))).toEqual(depths);
  });

  it('need blocks', () => {
    expect(() => layerDepths('test', ['fc.weight', 'shh.0.weight'])).toThrow(
      'test: "layerwiseLearningRateDecay" needs a model with blocks',
    );
  });

  it('give powers of the decay', () => {
    expect([...layerwiseFactors('test', ['wte.weight', 'h.0.x', 'h.1.x', 'ln_f.weight'], 0.5).values()]).toEqual([0.125, 0.25, 0.5, 1]);
  });
});

describe.each([new AdamW(), new SGD({ weightDecay: 0.1 })])('rates of an optimizer', (optimizer) => {
  const update = (more: object) => {
    const variable = (name: string) => new Variable({ name, shape: [2, 2], trainable: false });
    const parameter = new Variable({ name: 'p', shape: [2, 2] });
    const state = optimizer.stateFor('p', parameter);
    return { name: 'p', parameter, gradient: variable('g'), state, ...more };
  };
  const paramsOf = (more: object) => {
    const [effect] = optimizer.effects([update(more)], constant([0, 0, 0, 0]));
    return (effect as { params: Record<string, unknown> }).params;
  };

  it('are one scalar for each factor, and lr where there is none', () => {
    expect(paramsOf({ learningRateFactor: 1 })).toEqual(paramsOf({}));
    expect(paramsOf({ learningRateFactor: 0.25 })).toEqual({ ...paramsOf({}), lr: 'lr*0.25' });
    const numbers = { learningRate: 0.5, update: 1, maxGradNorm: 1 };
    const plain = optimizer.scalars(numbers);
    expect(optimizer.scalars({ ...numbers, learningRateFactors: [1, 0.25, 0.25] })).toEqual({ ...plain, 'lr*0.25': 0.125 });
  });

  it('decay nothing where only some rows are trained', () => {
    expect(paramsOf({}).weight_decay).toBe(0.1);
    expect(paramsOf({ someRows: true }).weight_decay).toBe(0);
  });
});
