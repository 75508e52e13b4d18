// Recomputation: the same numbers as without, less memory, started late, and what is not recomputed.
import { describe, expect, it } from 'vitest';
import { differentiate, reachable } from './autodiff';
import { checkpoint } from './checkpoint';
import { type CompiledDetail, compileDetailed } from './compile';
import { accumulate, assign, type Effect } from './effects';
import { add, mul } from './ops/binary';
import { countLabels } from './ops/crossEntropy';
import { dropout } from './ops/dropout';
import { layerNorm } from './ops/layerNorm';
import { linear } from './ops/linear';
import { recomputed } from './ops/recomputed';
import { sum } from './ops/reduce';
import { gelu, square, tanh } from './ops/unary';
import { input, type Tensor, Variable } from './tensor';
import { interpret, randomValues } from './testing/interpreter';
import { randomGraph } from './testing/randomGraph';
import { verify } from './testing/verify';

const variable = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });
const plain = <T>(build: () => T): T => build();
type Wrap = typeof plain;

describe('random graphs give exactly the same with and without, and with single values marked', () => {
  const seeds = Array.from({ length: 40 }, (_, i) => i + 1);
  const ways: Record<'without' | 'regions' | 'marked', readonly [Wrap, (x: Tensor) => Tensor]> = {
    without: [plain, (x) => x],
    regions: [checkpoint, (x) => x],
    marked: [plain, recomputed],
  };
  const recomputing = { without: 0, regions: 0, marked: 0 };
  it.each(seeds)('seed %i', (seed) => {
    const results = (['without', 'regions', 'marked'] as const).map((way) => {
      const { variables, loss, outputs } = randomGraph(seed, 6 + (seed % 10), ...ways[way]);
      const reached = variables.filter((one) => reachable([loss]).some((node) => node === one.tensor.node));
      const gradients = differentiate(loss, reached);
      const targets = reached.map((one) => variable(`d ${one.name}`, ...one.shape));
      const effects: Effect[] = reached.map((one, i) => (i % 3 === 2 ? accumulate : assign)(targets[i], gradients.get(one) as Tensor));
      return [false, true].map((optimised) => {
        const compiled = compileDetailed({ name: 'random', outputs, effects }, { fuse: optimised, inPlace: optimised });
        verify(compiled);
        recomputing[way] += Number(compiled.instructions.some((instruction) => instruction.recomputed));
        const values = randomValues([...variables, ...targets], seed);
        const inputs = { x: Array.from({ length: 12 }, (_, i) => Math.sin(i + seed)) };
        const scalars = { seedLo: seed, seedHi: 0, step: 1, micro: 0 };
        const out = interpret(compiled, { extents: { rows: 3 }, inputs, scalars, variables: values });
        return [...Object.values(out), ...values.values()].map((data) => [...data]);
      });
    });
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
  it('(and nearly all of them have something to compute again, many a marked value)', () => {
    expect(recomputing.without).toBe(0);
    expect(recomputing.regions).toBeGreaterThan(2 * 36);
    expect(recomputing.marked).toBeGreaterThan(2 * 12);
  });
});

/** A deep network of blocks, each x + W2·gelu(W1·norm(x)) with dropout, and its training program. */
function network(depth: number, wrap: Wrap): CompiledDetail {
  const weights: Variable[] = [];
  const weight = (...shape: number[]): Variable => {
    weights.push(variable(`w${weights.length}`, ...shape));
    return weights[weights.length - 1];
  };
  let x: Tensor = linear(input('x', [64, 32]), weight(32, 32));
  for (let i = 0; i < depth; i++) {
    const before = x;
    x = wrap(() => {
      const hidden = gelu(linear(layerNorm(before, weight(32), weight(32)), weight(32, 128), weight(128)), 'tanh');
      return add(before, dropout(linear(hidden, weight(128, 32), weight(32)), 0.1, `block${i}`));
    });
  }
  const loss = sum(square(x));
  const gradients = differentiate(loss, weights);
  const effects = weights.map((one) => assign(variable(`d ${one.name}`, ...one.shape), gradients.get(one) as Tensor));
  const compiled = compileDetailed({ name: 'network', outputs: { loss }, effects });
  verify(compiled);
  return compiled;
}

describe('memory and time', () => {
  it('a block then costs its input: 8 KiB here instead of 80', () => {
    const kept = network(24, plain).program.plan.arenaBytes - network(12, plain).program.plan.arenaBytes;
    const recomputed = network(24, checkpoint).program.plan.arenaBytes - network(12, checkpoint).program.plan.arenaBytes;
    // Input, norm's result, values before and after gelu: 8 + 8 + 32 + 32 KiB, and two numbers for each of 64 rows.
    expect(kept).toBe(12 * (80 * 1024 + 2 * 64 * 4));
    expect(recomputed).toBe(12 * 8 * 1024);
  });
  it('adds the arithmetic of what backward reads, not of the whole region', () => {
    const products = (compiled: CompiledDetail): number =>
      compiled.instructions.filter(({ spec }) => spec.name === 'matmul').reduce((n, { recomputed }) => n + Number(recomputed), 0);
    expect([products(network(3, plain)), products(network(3, checkpoint))]).toEqual([0, 3]); // W1's product; nobody reads W2's
    expect(network(3, checkpoint).program.plan.flops).toBeGreaterThan(network(3, plain).program.plan.flops + 3 * 2 * 64 * 32 * 128);
  });
  it('needs no more stages, and begins as late as it can', () => {
    const { instructions, stages, program } = network(6, checkpoint);
    expect(program.plan.stages).toBe(network(6, plain).program.plan.stages);
    const again = instructions.flatMap((instruction, at) => (instruction.recomputed ? [{ instruction, at }] : []));
    expect(again.length).toBe(6 * 2); // norm, and product with gelu
    for (const { instruction, at } of again) {
      const written = [...instruction.present()].filter(({ entry }) => entry.access === 'write').map(({ view }) => view.storage);
      const readers = instructions.flatMap((other, i) =>
        [...other.present()].some(({ entry, view }) => entry.access === 'read' && written.includes(view.storage)) ? [stages[i]] : [],
      );
      expect(stages[at]).toBe(Math.min(...readers) - 1);
    }
  });
});

describe('what a region is', () => {
  it('gives back what was built, in any form', () => {
    const x = variable('x', 3);
    const { y, list } = checkpoint(() => ({ y: tanh(x), list: [square(x)] }));
    expect([y.node.op.name, list[0].node.op.name]).toEqual(['unary', 'unary']);
  });
  it('one inside another belongs to the outer one', () => {
    const x = variable('x', 3);
    let inner: Tensor | undefined;
    const outer = checkpoint(() => {
      inner = checkpoint(() => tanh(x));
      return square(inner);
    });
    expect(inner?.node.region).toBe(outer.node.region);
    expect(outer.node.region).toBeTypeOf('symbol');
    expect(checkpoint(() => tanh(x)).node.region).not.toBe(outer.node.region);
    expect(tanh(x).node.region).toBeUndefined();
  });
  it('ends when building fails', () => {
    expect(() =>
      checkpoint(() => {
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(tanh(variable('x', 3)).node.region).toBeUndefined();
  });
  it('leaves and what cannot be differentiated are not computed twice', () => {
    const [x, w] = [variable('x', 4, 3), variable('w', 3, 3)];
    const labels = input('labels', [4], 'i32');
    const y = checkpoint(() => mul(square(tanh(linear(x, w))), countLabels(labels)));
    const gradient = differentiate(y, [w]).get(w) as Tensor;
    const again = reachable([gradient]).filter(({ recomputed }) => recomputed);
    expect(again.map(({ op }) => op.name)).toEqual(['matmul', 'unary']);
    expect(reachable([gradient]).filter(({ op }) => op.name === 'count_labels').length).toBe(1);
  });
  it('refuses what is no function or does not build at once', () => {
    expect(() => checkpoint(3 as never)).toThrow('checkpoint: build must be a function, got number');
    expect(() => checkpoint(async () => tanh(variable('x', 1)))).toThrow('checkpoint: build must not be asynchronous, got a promise');
  });
});

/** Blocks whose weights are frozen, with a branch x·A·B beside both products, as an adapter is; `mark` is put on what the branches read. */
function adapted(depth: number, mark: (x: Tensor) => Tensor): { compiled: CompiledDetail; variables: Variable[] } {
  const [frozen, trained]: Variable[][] = [[], []];
  const make = (list: Variable[], ...shape: number[]): Variable => {
    list.push(variable(`v${frozen.length + trained.length}`, ...shape));
    return list[list.length - 1];
  };
  const both = (x: Tensor, name: string, from: number, to: number): Tensor => {
    const [a, b] = [make(trained, from, 2), make(trained, 2, to)];
    return add(linear(x, make(frozen, from, to)), linear(linear(mark(dropout(mark(x), 0.1, name)), a), b));
  };
  let x: Tensor = linear(input('x', [64, 32]), make(frozen, 32, 32));
  for (let i = 0; i < depth; i++) {
    const hidden = gelu(both(layerNorm(x, make(frozen, 32), make(frozen, 32)), `in${i}`, 32, 128), 'tanh');
    x = add(x, both(hidden, `out${i}`, 128, 32));
  }
  const loss = sum(square(x));
  const gradients = differentiate(loss, trained);
  const targets = trained.map((one) => variable(`d ${one.name}`, ...one.shape));
  const compiled = compileDetailed({
    name: 'adapted',
    outputs: { loss },
    effects: trained.map((one, i) => assign(targets[i], gradients.get(one) as Tensor)),
  });
  verify(compiled);
  return { compiled, variables: [...frozen, ...trained, ...targets] };
}

describe('recomputed', () => {
  it('gives the same bits, through dropout of a norm too', () => {
    const [kept, again] = [(x: Tensor) => x, recomputed].map((mark) => {
      const { compiled, variables } = adapted(2, mark);
      const values = randomValues(variables, 5);
      const inputs = { x: Array.from({ length: 64 * 32 }, (_, i) => Math.sin(i)) };
      const out = interpret(compiled, { inputs, scalars: { seedLo: 3, seedHi: 0, step: 1, micro: 0 }, variables: values });
      return [...Object.values(out), ...values.values()].map((data) => [...data]);
    });
    expect(again).toEqual(kept);
  });
  it('then what branches read of norms and activations is not kept: 40 KiB less for each block', () => {
    const bytes = (mark: (x: Tensor) => Tensor) =>
      adapted(12, mark).compiled.program.plan.arenaBytes - adapted(6, mark).compiled.program.plan.arenaBytes;
    expect(bytes((x) => x) - bytes(recomputed)).toBe(6 * 40 * 1024); // 8 + 32 KiB, dropped: the undropped forms nobody reads in backward
  });
  it('computes no product again', () => {
    const again = adapted(3, recomputed).compiled.instructions.filter((instruction) => instruction.recomputed);
    expect(new Set(again.map(({ spec }) => spec.name))).toEqual(new Set(['layer_norm', 'unary', 'dropout']));
  });
  it('is x itself where x costs more than a pass, and within a checkpoint', () => {
    const [x, w] = [variable('x', 4, 3), variable('w', 3, 3)];
    const product = linear(x, w);
    expect(recomputed(product)).toBe(product);
    expect(recomputed(tanh(product))).not.toBe(product);
    checkpoint(() => {
      const inner = tanh(product);
      expect(recomputed(inner)).toBe(inner);
      return inner;
    });
  });
});
