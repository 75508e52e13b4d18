import { describe, expect, it } from 'vitest';
import { createMemory } from './memory';

const MIB = 2 ** 20;

describe('the engine memory', () => {
  it('is shared and can grow to 4 GiB', () => {
    const { memory, maximumBytes } = createMemory();
    expect(memory.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(maximumBytes).toBe(4096 * MIB);
  });

  it('retries smaller maximums when the system refuses, down to 512 MiB', () => {
    for (const granted of [4096, 2048, 1024, 512]) {
      const tried: number[] = [];
      const { maximumBytes } = createMemory((descriptor) => {
        tried.push((descriptor.maximum! * 65536) / MIB);
        if (descriptor.maximum! * 65536 > granted * MIB) throw new RangeError('could not allocate memory');
        return new WebAssembly.Memory({ ...descriptor, maximum: 128 });
      });
      expect(maximumBytes).toBe(granted * MIB);
      expect(tried).toEqual([4096, 2048, 1024, 512].filter((size) => size >= granted));
    }
  });

  it('gives a typed error with the cause when even that is refused', () => {
    const refusal = new RangeError('could not allocate memory');
    const run = () =>
      createMemory(() => {
        throw refusal;
      });
    expect(run).toThrow(expect.objectContaining({ code: 'OUT_OF_MEMORY', cause: refusal }));
  });
});
