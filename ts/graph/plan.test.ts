// The memory plan on random graphs: nothing that lives at the same time shares memory, results are the same with every optimisation on or off and for
// any order within stages; and on shaped cases: banks, alignment, in-place results, stages.
import { describe, expect, it } from 'vitest';
import { differentiate } from './autodiff';
import { checkpoint } from './checkpoint';
import { type CompiledDetail, compile, compileDetailed } from './compile';
import { accumulate, assign, type Effect } from './effects';
import { resolve } from './ir';
import { attentionQkv } from './ops/attention';
import { add, mul } from './ops/binary';
import { dropout } from './ops/dropout';
import { layerNorm } from './ops/layerNorm';
import { linear } from './ops/linear';
import { sum } from './ops/reduce';
import { reshape } from './ops/reshape';
import { addScalar, gelu, neg, square, tanh } from './ops/unary';
import { input, type Tensor, Variable } from './tensor';
import { interpret, randomValues } from './testing/interpreter';
import { randomGraph } from './testing/randomGraph';
import { verify } from './testing/verify';

const variable = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });

describe('random graphs', () => {
  const seeds = Array.from({ length: 40 }, (_, i) => i + 1);
  it.each(seeds)('seed %i', (seed) => {
    const { variables, loss, outputs } = randomGraph(seed, 4 + (seed % 13));
    const reached = variables.filter((one) => {
      try {
        differentiate(loss, [one]);
        return true;
      } catch {
        return false;
      }
    });
    const gradients = differentiate(loss, reached);
    const targets = reached.map((one) => variable(`d ${one.name}`, ...one.shape));
    const effects: Effect[] = reached.map((one, i) => (i % 3 === 2 ? accumulate : assign)(targets[i], gradients.get(one) as Tensor));
    const run = {
      extents: { rows: 3 },
      inputs: { x: Array.from({ length: 12 }, (_, i) => Math.sin(i + seed)) },
      scalars: { seedLo: seed, seedHi: 0, step: 1, micro: 0 },
    };
    const results = [0, 1, 2, 3].flatMap((bits) => {
      const compiled = compileDetailed({ name: 'random', outputs, effects }, { fuse: (bits & 1) === 1, inPlace: (bits & 2) === 2 });
      verify(compiled);
      return [1, 2].map((shuffle) => {
        const values = randomValues([...variables, ...targets], seed);
        return [...Object.values(interpret(compiled, { ...run, variables: values, shuffle })), ...values.values()].flatMap((data) => [
          ...data,
        ]);
      });
    });
    const scale = 1 + Math.max(...results[0].map(Math.abs));
    for (const other of results.slice(1)) {
      const worst = Math.max(...other.map((value, i) => Math.abs(value - results[0][i]) / scale));
      expect(worst).toBeLessThan(1e-9);
    }
  });
});

/** Training program of four blocks shaped as a GPT's, on [64, 32]. */
function trainingProgram(again: boolean, p: number, effect: typeof assign): CompiledDetail {
  const weights: Variable[] = [];
  const weight = (...shape: number[]): Variable => {
    weights.push(variable(`w${weights.length}`, ...shape));
    return weights[weights.length - 1];
  };
  const affine = (x: Tensor, n: number, m: number): Tensor => linear(x, weight(n, m), weight(m));
  const norm = (x: Tensor): Tensor => layerNorm(x, weight(32), weight(32));
  const block = (x: Tensor, i: number): Tensor => {
    const attended = attentionQkv(affine(norm(x), 32, 96), { nHead: 2, causal: true, dropout: p, path: `a${i}` });
    const y = add(x, dropout(affine(attended, 32, 32), p, `b${i}`));
    return add(y, dropout(affine(gelu(affine(norm(y), 32, 128), 'tanh'), 128, 32), p, `c${i}`));
  };
  let x: Tensor = affine(input('x', [2, 32, 32]), 32, 32);
  for (let i = 0; i < 4; i++) {
    const before = x;
    x = again ? checkpoint(() => block(before, i)) : block(before, i);
  }
  const loss = sum(square(norm(x)));
  const gradients = differentiate(loss, weights);
  const effects = weights.map((one) => effect(variable(`d ${one.name}`, ...one.shape), gradients.get(one) as Tensor));
  return compileDetailed({ name: 'train', outputs: { loss }, effects });
}

/** What no plan of these lives can do without. */
function fullestStage({ placements, stages }: CompiledDetail): number {
  const live = new Array<number>(Math.max(...stages) + 1).fill(0);
  for (const { start, end, bytes } of placements) for (let stage = start; stage <= end; stage++) live[stage] += bytes;
  return Math.max(...live);
}

/** Results with memory of their own although an operand of their size, whose memory they might take, is read for the last time. */
function missedPlaces({ instructions, stages, placements }: CompiledDetail): string[] {
  const placeOf = new Map(placements.flatMap((place) => place.buffers.map((buffer) => [buffer, place])));
  const uses = new Map<unknown, Set<number>>();
  instructions.forEach((instruction, at) => {
    for (const { view } of instruction.present()) {
      const { buffer } = resolve(view);
      uses.set(buffer, (uses.get(buffer) ?? new Set()).add(at));
    }
  });
  const dies = (buffer: unknown, at: number): boolean =>
    [...(uses.get(buffer) ?? [])].every((other) => other === at || stages[other] < stages[at]);
  return instructions.flatMap((instruction, at) => {
    const place = (name: string) => {
      const view = instruction.operand(name);
      return view === undefined ? undefined : { ...resolve(view), at: placeOf.get(resolve(view).buffer) };
    };
    const results = new Set(instruction.spec.inPlace.map(([, to]) => to));
    return [...results].flatMap((to) => {
      const result = place(to);
      const sources = instruction.spec.inPlace
        .flatMap(([from, into]) => (into === to ? [place(from)] : []))
        .filter((x) => x?.at !== undefined);
      if (result?.at === undefined || sources.some((source) => source?.at === result.at)) return [];
      const free = sources.filter((source) => source?.bytes === result.bytes && dies(source.buffer, at));
      return free.length > 0 ? [`${instruction.spec.name} ${to}`] : [];
    });
  });
}

describe('stages and memory', () => {
  it('independent work shares a stage: gradients of x, w and bias', () => {
    const [x, w, b] = [variable('x', 8, 4), variable('w', 4, 4), variable('b', 4)];
    const gradients = differentiate(square(linear(x, w, b)), [x, w, b]);
    const { stages } = compileDetailed({
      name: 'p',
      outputs: Object.fromEntries([...gradients].map(([key, tensor]) => [key.name, tensor])),
    });
    // matmul, unary_backward, then dx, dw and db together; the seed of ones is filled beside the matmul.
    expect(Math.max(...stages)).toBe(2);
    expect(stages.filter((stage) => stage === 2).length).toBe(3);
  });
  it('a chain of elementwise work runs in one buffer', () => {
    const x = input('x', [1000]);
    const { plan } = compile({ name: 'p', outputs: { y: sum(tanh(neg(square(tanh(x))))) } });
    expect(plan.arenaBytes).toBe(4032);
    expect(plan.bankBytes).toEqual([4032]);
  });
  it.each([
    ['kept', false, 1],
    ['computed again', true, 1.15],
  ])('a training program with activations %s has no holes and misses no place to work in', (_, again, most) => {
    for (const p of [0, 0.1]) {
      for (const effect of [assign, accumulate]) {
        const compiled = trainingProgram(again, p, effect);
        verify(compiled);
        expect(compiled.program.plan.arenaBytes).toBeLessThanOrEqual(most * fullestStage(compiled));
        expect(missedPlaces(compiled)).toEqual([]);
      }
    }
  });
  it('an operand that is also read another way keeps its own memory', () => {
    const [x, w] = [variable('x', 3, 4), variable('w', 4, 4)];
    const h = tanh(x);
    const compiled = compileDetailed({ name: 'p', outputs: { y: sum(add(h, linear(h, w))) } });
    expect(compiled.instructions.map(({ spec }) => spec.name)).toEqual(['unary', 'matmul', 'sum_all']);
    verify(compiled);
    expect(compiled.program.plan.arenaBytes).toBe(2 * 64);
  });
  it('a deep chain of products needs two buffers', () => {
    const w = variable('w', 16, 16);
    let y: Tensor = input('x', [16, 16]);
    for (let i = 0; i < 20; i++) y = linear(y, w);
    expect(compile({ name: 'p', outputs: { y: sum(y) } }).plan.arenaBytes).toBe(2 * 16 * 16 * 4);
  });
  it('constants needed late are filled late', () => {
    const x = variable('x', 100);
    let y: Tensor = x.tensor;
    for (let i = 0; i < 5; i++) y = linear(reshape(y, [10, 10]), variable(`w${i}`, 10, 10));
    const loss = reshape(y, [100]);
    const dx = differentiate(loss, [x]).get(x) as Tensor;
    const { instructions, stages } = compileDetailed({ name: 'p', outputs: { dx, loss } });
    const fill = instructions.findIndex(({ spec }) => spec.name === 'fill');
    // The gradient needs no forward value here: both chains start at once.
    expect(stages[fill]).toBe(0);
    const after = compileDetailed({ name: 'p', outputs: { dx: differentiate(square(y), [x]).get(x) as Tensor } });
    const late = after.instructions.findIndex(({ spec }) => spec.name === 'fill');
    expect(after.stages[late]).toBe(4);
  });
  it('buffers of more than a bank spread over banks below 1 GiB', () => {
    const size = 150 * 2 ** 20;
    const x = input('x', [size]);
    const parts = Array.from({ length: 3 }, (_, i) => tanh(addScalar(x, i)));
    const compiled = compileDetailed({ name: 'p', outputs: { y: sum(mul(parts[0], mul(parts[1], parts[2]))) } });
    verify(compiled);
    expect(compiled.program.plan.bankBytes).toEqual([600 * 2 ** 20, 600 * 2 ** 20, 600 * 2 ** 20]);
  });
  it('one buffer of 1 GiB is refused with its size', () => {
    expect(() => compile({ name: 'p', outputs: { y: sum(tanh(input('x', [2 ** 14, 2 ** 14]))) } })).toThrow(
      'compile: one buffer must stay below 1 GiB, got 1073741824 bytes for f32[16384, 16384] of input "x"',
    );
  });
  it('empty tensors are planned and run', () => {
    const compiled = compileDetailed({ name: 'p', outputs: { y: sum(tanh(neg(input('x', [0, 3])))) } });
    verify(compiled);
    expect(interpret(compiled, { inputs: { x: [] } }).y).toEqual(Float64Array.of(0));
  });
  it('a large graph compiles in reasonable time', () => {
    const start = performance.now();
    let y: Tensor = input('x', [64, 32]);
    const weights: Variable[] = [];
    const weight = (...shape: number[]): Variable => {
      weights.push(variable(`w${weights.length}`, ...shape));
      return weights[weights.length - 1];
    };
    for (let i = 0; i < 48; i++) {
      y = add(
        y,
        linear(
          reshape(
            attentionQkv(reshape(linear(layerNorm(y, weight(32), weight(32)), weight(32, 96), weight(96)), [2, 32, 96]), {
              nHead: 2,
              causal: true,
            }),
            [64, 32],
          ),
          weight(32, 32),
          weight(32),
        ),
      );
      y = add(y, linear(gelu(linear(layerNorm(y, weight(32), weight(32)), weight(32, 128), weight(128))), weight(128, 32), weight(32)));
    }
    const gradients = differentiate(square(y), weights);
    const effects = weights.map((one) => accumulate(variable(`d ${one.name}`, ...one.shape), gradients.get(one) as Tensor));
    const compiled = compileDetailed({ name: 'xl', outputs: { y }, effects });
    expect(compiled.program.plan.instructions).toBeGreaterThan(1500);
    expect(performance.now() - start).toBeLessThan(10000);
  });
});
