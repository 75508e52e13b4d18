// That the differential run finds what it looks for: the two builds, which round differently, must differ where multiply-adds are, and a build must not
// differ from itself. On both, every kernel has its cases.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { OPCODES } from '../ts/graph/opcodes.ts';
import { compare } from './differential/compare.mjs';
import { Machine, unifyNaN } from './differential/machine.mjs';

const bytes = (build) => readFileSync(new URL(`../ts/wasm/kernels.${build}.wasm`, import.meta.url));
const machine = (build) => new Machine(new WebAssembly.Module(bytes(build)));

describe('the differential run', () => {
  it('finds no difference between a build and itself, with cases for every kernel and every tile', () => {
    const record = compare({ opcodes: OPCODES, first: machine('simd128'), second: machine('simd128'), cases: 6000, seed: 3 });
    expect(record).toMatchObject({ mismatches: 0, strayWrites: 0, faults: 0, examples: [] });
    const kernels = Object.keys(OPCODES).filter((name) => name !== 'trap');
    expect(Object.keys(record.kernels).sort()).toEqual(kernels.sort());
    expect(Object.keys(record.tiles)).toHaveLength(machine('simd128').kernels.register_tiles());
  });

  it.runIf(machine('relaxed').kernels.madd_is_fused())('finds the difference between the two builds', () => {
    const { kernels, examples } = compare({
      opcodes: OPCODES,
      first: machine('simd128'),
      second: machine('relaxed'),
      cases: 3000,
      seed: 3,
    });
    for (const name of ['matmul', 'attention', 'linear_cross_entropy']) expect(kernels[name].mismatches, name).toBeGreaterThan(0);
    for (const name of ['fill', 'copy_rows', 'transpose', 'embedding']) expect(kernels[name].mismatches, name).toBe(0);
    expect(examples.length).toBeGreaterThan(0);
  });

  it('takes NaN for NaN and nothing else for equal, in f32 and in f64', () => {
    const words = (...doubles) => [...new Uint32Array(Float64Array.from(doubles).buffer)];
    const a = Uint32Array.of(0x7fc00000, 0xffc00001, 0x80000000, 0x7f800000, ...words(Number.NaN, 1), 0xffc00000);
    const b = Uint32Array.of(0x7fc00000, 0x7fc00000, 0, 0x7fc00000, 5, 0xfff80000, ...words(1), 0x7fc00000);
    expect(unifyNaN(a, b, [[4, 8]])).toBe(3);
    expect([...a]).toEqual([0x7fc00000, 0x7fc00000, 0x80000000, 0x7f800000, 0, 0x7ff80000, ...words(1), 0x7fc00000]);
    expect([...b]).toEqual([0x7fc00000, 0x7fc00000, 0, 0x7fc00000, 0, 0x7ff80000, ...words(1), 0x7fc00000]);
  });
});
