import { describe, expect, it } from 'vitest';
import type { FerroError } from '../errors';
import { chooseBuild, probeSimd } from './build';

const support = (relaxed: boolean, simd128 = true) => ({ simd128, relaxed });
const codeOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return (error as FerroError).code;
  }
  return 'nothing thrown';
};

describe('choosing a build', () => {
  it.each(['auto', 'auto256'] as const)('%s takes relaxed SIMD where it is valid', (choice) => {
    expect(chooseBuild(choice, support(true))).toBe('relaxed');
    expect(chooseBuild(choice, support(false))).toBe('simd128');
  });

  it('portable is the plain build even where relaxed SIMD is valid', () => {
    expect(chooseBuild('portable', support(true))).toBe('simd128');
  });

  it('refuses what cannot run, with a code', () => {
    expect(chooseBuild('relaxed', support(true))).toBe('relaxed');
    expect(codeOf(() => chooseBuild('relaxed', support(false)))).toBe('UNSUPPORTED_RUNTIME');
    expect(codeOf(() => chooseBuild('auto', support(false, false)))).toBe('UNSUPPORTED_RUNTIME');
  });

  it('probes give this Node: SIMD always, relaxed SIMD from Node 22 on (in 20 behind the flag the tests set)', () => {
    const expected = !process.versions.node.startsWith('20.') || process.execArgv.includes('--experimental-wasm-relaxed-simd');
    expect(probeSimd()).toEqual({ simd128: true, relaxed: expected });
  });
});
