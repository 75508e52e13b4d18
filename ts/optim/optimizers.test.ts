import { describe, expect, it } from 'vitest';
import { Variable } from '../graph';
import { AdamW, clipGradients, createOptimizer, SGD } from './index';

const matrix = () => new Variable({ name: 'w', shape: [3, 4] });
const vector = () => new Variable({ name: 'b', shape: [4] });

describe('AdamW', () => {
  it('has the documented defaults', () => {
    const optimizer = new AdamW();
    expect(optimizer.learningRate).toBe(1e-3);
    expect(optimizer.options).toEqual({ adamBeta1: 0.9, adamBeta2: 0.99, adamEpsilon: 1e-8, weightDecay: 0.1 });
  });

  it.each([
    [{ learningRate: Number.NaN }, '"learningRate" must be 0 or a positive number, got NaN'],
    [{ learningRate: -1e-3 }, '"learningRate"'],
    [{ adamBeta1: 1 }, '"adamBeta1" must be a number from 0 to below 1, got 1'],
    [{ adamBeta2: -0.1 }, '"adamBeta2"'],
    [{ adamEpsilon: 0 }, '"adamEpsilon" must be a positive number, got 0'],
    [{ weightDecay: -0.1 }, '"weightDecay" must be 0 or a positive number, got -0.1'],
  ])('rejects %o', (options, message) => {
    expect(() => new AdamW(options)).toThrow(message);
  });

  it('names the nearest option', () => {
    expect(() => new AdamW({ adamBeta3: 0.9 } as object)).toThrow('the nearest is "adamBeta');
  });

  it('keys its state by parameter name, zero at first, never trained itself', () => {
    const state = new AdamW().stateFor('h.0.w', matrix());
    expect(Object.fromEntries(Object.entries(state).map(([role, v]) => [role, [v.name, v.shape, v.trainable, v.init.kind]]))).toEqual({
      m: ['optimizer.m.h.0.w', [3, 4], false, 'zeros'],
      v: ['optimizer.v.h.0.w', [3, 4], false, 'zeros'],
    });
  });

  it('decays only variables that say so', () => {
    const optimizer = new AdamW({ weightDecay: 0.3 });
    const updates = [matrix(), vector()].map((parameter) => {
      const gradient = new Variable({ name: 'g', shape: parameter.shape });
      return { name: parameter.name, parameter, gradient, state: optimizer.stateFor(parameter.name, parameter) };
    });
    const clip = clipGradients(
      updates.map(({ gradient }) => gradient),
      new Variable({ name: 'count', shape: [1] }),
    );
    const effects = optimizer.effects(updates, clip);
    expect(effects.map((effect) => (effect as unknown as { params: Record<string, number> }).params.weight_decay)).toEqual([0.3, 0]);
  });

  it('computes bias corrections in f64 without Math.pow', () => {
    const optimizer = new AdamW({ adamBeta1: 0.9, adamBeta2: 0.999 });
    expect(optimizer.scalars({ learningRate: 0.5, update: 1, maxGradNorm: 1 })).toEqual({
      lr: 0.5,
      c1: 1 - 0.9,
      c2: Math.sqrt(1 - 0.999),
      maxNorm: 1,
    });
    for (const update of [2, 10, 1000, 123456]) {
      const { c1, c2 } = optimizer.scalars({ learningRate: 0.5, update, maxGradNorm: 0 });
      expect(Math.abs(c1 - (1 - 0.9 ** update))).toBeLessThan(1e-15);
      expect(Math.abs(c2 - Math.sqrt(1 - 0.999 ** update))).toBeLessThan(1e-14);
    }
  });

  it('rejects a learning rate or norm of one step that is no number', () => {
    const optimizer = new AdamW();
    expect(() => optimizer.scalars({ learningRate: Number.NaN, update: 1, maxGradNorm: 1 })).toThrow('"learningRate"');
    expect(() => optimizer.scalars({ learningRate: 1, update: 1, maxGradNorm: -1 })).toThrow(
      '"maxGradNorm" must be 0 or a positive number, got -1',
    );
  });
});

describe('SGD', () => {
  it("has torch's defaults and keeps a buffer only for momentum", () => {
    expect(new SGD().options).toEqual({ momentum: 0, nesterov: false, weightDecay: 0 });
    expect(new SGD().stateFor('w', matrix())).toEqual({});
    expect(new SGD({ momentum: 0.9 }).stateFor('w', matrix()).momentum.name).toBe('optimizer.momentum.w');
  });
  it('rejects Nesterov without momentum, and momentum of 1', () => {
    expect(() => new SGD({ nesterov: true })).toThrow('"nesterov" needs a momentum above 0');
    expect(() => new SGD({ momentum: 1 })).toThrow('"momentum"');
  });
});

describe('createOptimizer', () => {
  it('chooses by name and ignores the other options of a run', () => {
    expect(createOptimizer({}).kind).toBe('adamw');
    const flat = { optim: 'sgd' as const, momentum: 0.5, learningRate: 0.1, adamBeta1: 0.7, batchSize: 3 };
    const optimizer = createOptimizer(flat);
    expect([optimizer.kind, optimizer.learningRate, optimizer.options]).toEqual([
      'sgd',
      0.1,
      { momentum: 0.5, nesterov: false, weightDecay: 0 },
    ]);
    expect(createOptimizer({ adamBeta2: 0.95, weightDecay: 0 }).options).toMatchObject({ adamBeta2: 0.95, weightDecay: 0 });
  });
  it('rejects unknown kinds and things that are no options', () => {
    expect(() => createOptimizer({ optim: 'lion' as 'sgd' })).toThrow('"optim" must be "adamw" or "sgd", got "lion"');
    expect(() => createOptimizer(undefined as unknown as object)).toThrow('got undefined');
  });
});
