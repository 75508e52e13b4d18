import { describe, expect, it } from 'vitest';
import { input, Variable } from '../graph';
import { addBranch, LayerNorm, Linear, LoraBranch, loraLayers, Module, matchPaths, Projection, replaceVariables } from './index';

class Block extends Module {
  readonly c_attn = new Linear(4, 12);
  readonly c_proj = new Linear(4, 4);
  readonly norm = new LayerNorm(4);
  override forward(): void {}
}

class Net extends Module {
  readonly h = [new Block(), new Block()];
  readonly mlp = { c_proj: 'not a module' };
  readonly score = new Projection(4, 2);
  override forward(): void {}
}

const PATHS = ['h.0.c_attn', 'h.0.c_proj', 'h.1.c_attn', 'h.1.c_proj', 'score'];

describe('loraLayers and matchPaths', () => {
  it('finds linear layers of both layouts, in order, but for those excepted', () => {
    const net = new Net();
    expect([...loraLayers(net).keys()]).toEqual(PATHS);
    expect([...loraLayers(net, new Set([net.score])).keys()]).toEqual(PATHS.slice(0, 4));
  });

  it('takes ends of paths, whole paths and patterns, as PEFT does', () => {
    const match = (...names: string[]) => matchPaths('op', 'targets', names, PATHS);
    expect(match('c_proj')).toEqual(['h.0.c_proj', 'h.1.c_proj']);
    expect(match('1.c_proj', 'score')).toEqual(['h.1.c_proj', 'score']);
    expect(match('h.*.c_attn')).toEqual(['h.0.c_attn', 'h.1.c_attn']);
    expect(match('*')).toEqual(PATHS);
    // A part of a name is no end of a path, and a dot is a dot.
    for (const name of ['proj', '_attn', 'h.0', 'h?0.c_attn', 'h.0xc_attn', ''])
      expect(() => match(name), name).toThrow('must name layers');
  });

  it('names the nearest where there is none', () => {
    expect(() => matchPaths('addAdapter', 'targetModules', ['h.0.c_projj'], PATHS)).toThrow(
      'addAdapter: "targetModules" must name layers of the model, got "h.0.c_projj" (the nearest is "c_proj", of c_attn, c_proj, score)',
    );
    expect(() => matchPaths('op', 'targets', ['x'], [])).toThrow('there are none');
  });
});

describe('LoraBranch', () => {
  const options = { rank: 4, alpha: 6, dropout: 0.5, useRslora: false };

  it('has PEFT’s names, shapes and scales, and no part in its layer’s parameters', () => {
    const layer = new Linear(3, 5);
    const branch = new LoraBranch(layer, 'h.0.fc', 'mine', options);
    expect([branch.a.name, branch.a.shape]).toEqual(['h.0.fc.lora_A.mine.weight', [4, 3]]);
    expect([branch.b.name, branch.b.shape]).toEqual(['h.0.fc.lora_B.mine.weight', [5, 4]]);
    expect(branch.scale).toBe(1.5);
    expect(new LoraBranch(layer, 'x', 'y', { ...options, useRslora: true }).scale).toBe(3);
    layer.lora = branch;
    expect([...layer.namedVariables().keys()]).toEqual(['weight', 'bias']);
  });

  it('drops inputs while training alone', () => {
    const layer = new Linear(3, 5);
    layer.lora = new LoraBranch(layer, 'h.0.fc', 'mine', options);
    const ops = (training: boolean) => {
      layer.training = training;
      const names: string[] = [];
      const visit = (tensor: ReturnType<typeof input>): void => {
        names.push(tensor.node.op.name);
        tensor.node.inputs.forEach(visit);
      };
      visit(layer.forward(input('x', [2, 3])));
      return names.filter((name) => name === 'dropout').length;
    };
    expect([ops(false), ops(true)]).toEqual([0, 1]);
  });

  it('draws A uniformly within 1/√in, by seed and path', () => {
    const branch = (path: string) => new LoraBranch(new Linear(100, 2), path, 'x', { ...options, rank: 50 });
    const values = branch('a').initialA(1);
    expect(branch('a').initialA(1)).toEqual(values);
    expect(branch('a').initialA(2)).not.toEqual(values);
    expect(branch('b').initialA(1)).not.toEqual(values);
    expect(values.every((value) => Math.abs(value) <= 0.1)).toBe(true);
    const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    // Of a uniform distribution: bound²/3; its fourth moment gives the standard error, 0.9/√n of it. Five of these.
    expect(Math.abs(variance / (0.01 / 3) - 1)).toBeLessThan((5 * 0.9) / Math.sqrt(values.length));
  });
});

describe('addBranch', () => {
  it('adds the product in both layouts', () => {
    const [a, b] = [Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(1, -1, 2, 0)]; // [2, 3] and [2, 2]
    const sizes = { rows: 2, columns: 3, rank: 2, factor: 0.5 };
    const weight = new Float32Array(6).fill(10);
    addBranch(weight, a, b, { ...sizes, transposed: false });
    expect(Array.from(weight)).toEqual([8.5, 8.5, 8.5, 11, 12, 13]);
    const other = new Float32Array(6).fill(10);
    addBranch(other, a, b, { ...sizes, transposed: true });
    expect(Array.from(other)).toEqual([8.5, 11, 8.5, 12, 8.5, 13]);
  });
});

describe('replaceVariables', () => {
  it('puts others in the place of fields and elements of arrays, and back', () => {
    class Held extends Module {
      readonly layer = new Projection(2, 2);
      readonly list = [new Variable({ name: 'v', shape: [1] })];
      override forward(): void {}
    }
    const held = new Held();
    const before = [held.layer.weight, held.list[0]];
    const copies = before.map(({ shape }) => new Variable({ name: 'copy', shape }));
    replaceVariables(held, new Map(before.map((one, i) => [one, copies[i]])));
    expect([held.layer.weight, held.list[0]]).toEqual(copies);
    expect(held.layer.weight).toBe(copies[0]);
    replaceVariables(held, new Map(copies.map((one, i) => [one, before[i]])));
    expect([held.layer.weight === before[0], held.list[0] === before[1]]).toEqual([true, true]);
  });
});
