import { describe, expect, it } from 'vitest';
import { FerroError } from '../../errors';
import { endsEngine, explainFailure } from './failures';
import type { Kernels } from './kernels';

const kernels = (fault: number[], panic = '') => ({ fault: () => Int32Array.from(fault), panicText: () => panic }) as unknown as Kernels;

/** A real trap of this JavaScript engine: (module (func (export "f") unreachable)). */
function trap(): Error {
  const bytes = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11];
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes)));
  try {
    (exports.f as () => void)();
  } catch (error) {
    return error as Error;
  }
  throw new Error('no trap');
}

describe('explaining what the kernels throw', () => {
  it.each([
    [[1, 5, 70, 9], 'LABEL_OUT_OF_RANGE', '70 at position 5'],
    [[2, 0, -3, 1], 'TOKEN_OUT_OF_RANGE', '-3 at position 0'],
    [[3, 2, 0, 4], 'NON_FINITE_LOGITS', 'none in row 2'],
    [[4, 0, 8, 2], 'INVALID_SHAPE', '8 at position 0'],
  ])('a fault %j becomes %s and names what it got', (fault, code, got) => {
    const error = explainFailure(new Error('KERNEL_FAULT: instruction 9'), 'run', kernels(fault));
    expect(error).toMatchObject({ name: 'FerroError', code });
    expect(error.message).toMatch(/^run: /);
    expect(error.message).toContain(`got ${got}`);
  });

  it('refusals keep their text and get the code of their prefix', () => {
    expect(explainFailure(new Error('OUT_OF_MEMORY: alloc: 5 GB'), 'load', undefined)).toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: 'load: alloc: 5 GB',
    });
    expect(explainFailure(new Error('BAD_PROGRAM: magic'), 'load', undefined)).toMatchObject({
      code: 'BAD_PROGRAM',
      message: 'load: magic',
    });
  });

  it('a trap ends the engine; the cause has the panic text as well as the trap itself', () => {
    const error = trap();
    expect(endsEngine(error)).toBe(true);
    const explained = explainFailure(error, 'run', kernels([], 'index out of bounds at lib.rs:7')) as FerroError;
    expect(explained.code).toBe('ENGINE_DIED');
    expect((explained.cause as Error).message).toContain('index out of bounds at lib.rs:7');
    expect((explained.cause as Error).cause).toBe(error);
    expect((explainFailure(error, 'run', kernels([])) as FerroError).cause).toBe(error);
  });

  it('a poisoned barrier ends the engine; ordinary errors do not', () => {
    expect(endsEngine(new Error('POISONED: 1'))).toBe(true);
    expect(explainFailure(new Error('POISONED: 1'), 'run', kernels([]))).toMatchObject({ code: 'ENGINE_DIED' });
    expect(endsEngine(new RangeError('Maximum call stack size exceeded'))).toBe(true);
    expect(endsEngine(new TypeError('x'))).toBe(false);
    expect(endsEngine(new FerroError('ABORTED', 'run'))).toBe(false);
    const plain = new TypeError('x');
    expect(explainFailure(plain, 'run', undefined)).toBe(plain);
  });
});
