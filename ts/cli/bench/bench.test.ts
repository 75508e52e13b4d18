// The parts of `bench` that need no measuring: names and sums of a profile, products of a step, tables; and that a repeated instruction is repeated.
import { describe, expect, it } from 'vitest';
import { compile, decodeProgram, input, linear, Variable } from '../../index';
import { elementwiseCases } from './elementwise';
import { productsOf } from './kernels';
import { instructionName, summarise } from './profile';
import { repeatedProgram } from './repeated';
import { benchTables, profileTables } from './tables';
import { benchVariable, timeRuns } from './timing';

describe('the profile', () => {
  const rows = [
    { name: 'matmul NN 2×3×4', kernel: 'matmul', ms: 6, flops: 12e6, bytes: 3e6 },
    { name: 'matmul TN 2×3×4', kernel: 'matmul', ms: 2, flops: 12e6, bytes: 1e6 },
    { name: 'matmul NN 2×3×4', kernel: 'matmul', ms: 2, flops: 12e6, bytes: 3e6 },
    { name: 'fill 9', kernel: 'fill', ms: 0, flops: 0, bytes: 36 },
  ];

  it('adds up calls, times and rates, the slowest first', () => {
    const [nn, tn, fill] = summarise(rows, ({ name }) => name, 6e9);
    expect(nn).toEqual({
      name: 'matmul NN 2×3×4',
      kernel: 'matmul',
      calls: 2,
      ms: 8,
      share: 0.8,
      flopsPerSecond: 3e9,
      shareOfPeak: 0.5,
      bytesPerSecond: 0.75e9,
    });
    expect([tn.calls, tn.share, tn.shareOfPeak]).toEqual([1, 0.2, 1]);
    expect([fill.ms, fill.flopsPerSecond, fill.bytesPerSecond]).toEqual([0, 0, 0]);
    const kernels = summarise(rows, ({ kernel }) => kernel);
    expect(kernels.map(({ name, calls, ms, shareOfPeak }) => [name, calls, ms, shareOfPeak])).toEqual([
      ['matmul', 3, 10, undefined],
      ['fill', 1, 0, undefined],
    ]);
  });

  it('names instructions by kernel, form and sizes', () => {
    const weight = new Variable({ name: 'w', shape: [4, 3] });
    const bias = new Variable({ name: 'b', shape: [3] });
    const decoded = decodeProgram(
      compile({ name: 'x', outputs: { y: linear(input('x', [2, 4], 'f32'), weight, bias) }, effects: [] }).words,
    );
    expect(decoded.instructions.map((instruction) => instructionName(decoded, instruction))).toContain('matmul NN 2×3×4 +bias');
  });

  it('is told as two tables', () => {
    const [instructions, kernels] = [summarise(rows, ({ name }) => name, 6e9), summarise(rows, ({ kernel }) => kernel, 6e9)];
    const text = profileTables({ size: 'S', stepMs: 6, threads: 2, outside: 0.25, instructions, kernels });
    expect(text).toContain('step S: 6.00 ms on 2 threads, 25.0 %');
    expect(text).toMatch(/matmul NN 2×3×4 +2 +8\.000 +80\.0 % +3\.0 GFLOP\/s +50\.0 % +750 MB\/s/);
  });
});

describe('kernels', () => {
  it('are the products of a step, the head among them where it is large', () => {
    expect(productsOf('S').map(({ m, n, k }) => [m, n, k])).toEqual([
      [768, 384, 128],
      [768, 128, 128],
      [768, 512, 128],
      [768, 128, 512],
    ]);
    expect(productsOf('L').at(-1)).toEqual({ name: 'L head', m: 256, n: 50257, k: 768 });
  });

  it('are repeated as often as asked, each after the other', () => {
    for (const { name, instruction, elements } of elementwiseCases('cache')) {
      const { words } = repeatedProgram(name, instruction, 5, benchVariable('out', [1], 'zeros'));
      const { instructions } = decodeProgram(words);
      const own = instructions.filter(({ spec }) => spec.name === instruction.opcode && sizeOf(instruction) !== 1);
      expect(own.length, name).toBeGreaterThanOrEqual(5);
      expect(new Set(own.map(({ stage }) => stage)).size, name).toBeGreaterThanOrEqual(5);
      expect(elements, name).toBe(12 * 384);
    }
    function sizeOf({ dims }: { dims: Record<string, unknown> }) {
      return dims.n;
    }
  });

  it('are warmed up, then timed in bursts', async () => {
    const calls: number[] = [];
    const timing = await timeRuns(
      (times) => {
        calls.push(times);
        return Promise.resolve();
      },
      { warmMs: 0, warmLimitMs: 5, burstMs: 0.01, bursts: 3 },
    );
    expect(calls.length).toBeGreaterThanOrEqual(4);
    expect(new Set(calls.slice(-3)).size).toBe(1);
    expect(timing.min).toBeLessThanOrEqual(timing.median);
  });
});

it('tables show what was measured and leave out empty columns', () => {
  const text = benchTables({
    peak: [{ name: 'tile', flops: 50e9 }],
    kernels: [
      { group: 'gemm', name: 'NN', minUs: 5, medianUs: 12.5, flops: 25e9, shareOfPeak: 0.5 },
      { group: 'barrier', name: 'barrier', minUs: 0.5, medianUs: 0.75 },
    ],
    steps: [],
    decode: [{ preset: 'gpt-micro', tokens: 200, msPerToken: 0.25, minMsPerToken: 0.2 }],
    profiles: [],
  });
  expect(text).toMatch(/matrix product m×n×k +min µs +median µs +rate +of peak\nNN +5\.00 +12\.5 +25\.0 GFLOP\/s +50\.0 %/);
  expect(text).toMatch(/barrier +0\.50 +0\.75\n/);
  expect(text).toMatch(/gpt-micro +0\.250 +0\.200 +200/);
});
