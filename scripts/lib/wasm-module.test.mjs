// The reader of .wasm files on the shipped kernels and on the smallest module that V8 14.6 dies of.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './run.mjs';
import { functionsWithVectorParameters, readModule, withOnly } from './wasm-module.mjs';

/** (func (param v128 v128 i32) (v128.store (local.get 2) (local.get 0)) (v128.store offset=16 (local.get 2) (local.get 1))), and a memory */
const STORES_ITS_PARAMETERS = Buffer.from(
  '0061736d0100000001070160037b7b7f000302010005030100010a1401120020022000fd0b040020022001fd0b04100b',
  'hex',
);

describe('wasm-module', () => {
  const kernels = readFileSync(join(ROOT, 'ts', 'wasm', 'kernels.simd128.wasm'));

  it('finds every function with its name', () => {
    const { functions } = readModule(kernels);
    expect(functions.length).toBeGreaterThan(200);
    expect(functions.filter(({ name }) => name.includes('::matmul::micro::micro::<4usize, 2usize, 0u8>'))).toHaveLength(1);
    expect(functions.every(({ body: [start, end] }) => end > start && kernels[end - 1] === 0x0b)).toBe(true);
  });

  it('finds functions that take vectors by value; the kernels have none', () => {
    expect(WebAssembly.validate(STORES_ITS_PARAMETERS)).toBe(true);
    expect(functionsWithVectorParameters(STORES_ITS_PARAMETERS)).toEqual(['function 0']);
    expect(functionsWithVectorParameters(kernels)).toEqual([]);
  });

  it('cuts bodies out and leaves a valid module', () => {
    const [kept] = readModule(kernels).functions.filter(({ name }) => name.includes('gemv'));
    const cut = withOnly(kernels, ({ index }) => index === kept.index);
    expect(WebAssembly.validate(cut)).toBe(true);
    const { functions } = readModule(cut);
    expect(functions.filter(({ body: [start, end] }) => end - start > 3)).toHaveLength(1);
    expect(functions.find(({ index }) => index === kept.index).name).toBe(kept.name);
  });
});
