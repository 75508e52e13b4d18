// The thin layer over the real kernels: what is particular to wasm memory.
import { describe, expect, it } from 'vitest';
import { platform } from '#platform';
import { Kernels } from './kernels';
import { createMemory } from './memory';

async function setUp(grownBytes = 0): Promise<Kernels> {
  const { memory, maximumBytes } = createMemory();
  if (grownBytes > 0) memory.grow(grownBytes / 65536);
  const kernels = new Kernels(await platform.loadModule('simd128', {}, false), memory);
  kernels.engineInit(1, maximumBytes);
  return kernels;
}

describe('the kernels', () => {
  it('write and read regions beyond 2 GiB, where an i32 pointer is negative', async () => {
    const kernels = await setUp(2 ** 31); // reserved, never touched
    const region = kernels.regionAlloc(4000);
    const data = Float32Array.from({ length: 1000 }, (_, i) => i / 8);
    kernels.write(region, data);
    expect(kernels.read(region, 1000, 'f32')).toEqual(data);
    const whole = new Float32Array(kernels.memory.buffer, 2 ** 31); // the region lies there, not below
    expect(whole.indexOf(124.875)).toBeGreaterThan(0);
    kernels.regionFill(region, -2);
    expect(kernels.read(region, 1000, 'f32').every((value) => value === -2)).toBe(true);
  });

  it('see data through fresh views after the memory has grown', async () => {
    const kernels = await setUp();
    const region = kernels.regionAlloc(16);
    kernels.write(region, Int32Array.of(1, 2, 3, 4));
    const before = kernels.memory.buffer.byteLength;
    kernels.regionAlloc(64 * 2 ** 20);
    expect(kernels.memory.buffer.byteLength).toBeGreaterThan(before);
    expect(kernels.read(region, 4, 'i32')).toEqual(Int32Array.of(1, 2, 3, 4));
  });

  it('two instances in one thread do not share anything', async () => {
    const [a, b] = [await setUp(), await setUp()];
    const region = a.regionAlloc(4);
    expect(() => b.read(region, 1, 'f32')).toThrow(/^BAD_PROGRAM/);
    expect(b.liveBytes()).toBeLessThan(a.liveBytes());
  });

  it('refuse with a code: too large for the limit, too large for one allocation, unknown numbers', async () => {
    const kernels = await setUp();
    expect(() => kernels.regionAlloc(2 ** 33)).toThrow(/^OUT_OF_MEMORY: /);
    expect(() => kernels.regionAlloc(2 ** 31)).toThrow(/^OUT_OF_MEMORY: /);
    expect(() => kernels.regionFree(99)).toThrow(/^BAD_PROGRAM: /);
    expect(() => kernels.runSlice(1)).toThrow(/^BAD_PROGRAM: /);
    expect(kernels.fault()).toHaveLength(0);
    expect(kernels.panicText()).toBe('');
  });
});
