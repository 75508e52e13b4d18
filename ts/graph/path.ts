// Names of random streams: FNV-1a 64 of a path. Dropout layers and variables are told apart by it, whatever the order in which they are made.
import { FerroError } from '../errors';
import { fnv1a64 } from '../math';
import type { ScalarName } from './tensor';
import { scalarName } from './tensor';

/** FNV-1a 64 of a path as named words (ts/math/hash.ts). */
export function pathWords(path: string): { lo: number; hi: number } {
  const [lo, hi] = fnv1a64(path);
  return { lo, hi };
}

/** The scalar inputs that key dropout: the run's seed (two u32 words), the optimizer step and the micro-batch index. */
export const DROPOUT_SCALARS = { seed_lo: 'seedLo', seed_hi: 'seedHi', step: 'step', micro: 'micro' } as const;

/** Dropout's parameters for an instruction. With p = 0 no scalar is named: the program then needs none. */
export function dropoutParams(p: number, path: string): Record<string, number | string> {
  const { lo, hi } = pathWords(path);
  return p === 0
    ? { p, path_lo: 0, path_hi: 0, seed_lo: '', seed_hi: '', step: '', micro: '' }
    : { p, path_lo: lo, path_hi: hi, ...DROPOUT_SCALARS };
}

/** @throws INVALID_OPTION unless 0 ≤ p < 1 and, with p > 0, a path is given. */
export function checkDropout(op: string, p: number, path: string | undefined): void {
  if (!(p >= 0 && p < 1)) throw new FerroError('INVALID_OPTION', `${op}: dropout p must be at least 0 and below 1, got ${p}`);
  if (p > 0 && (typeof path !== 'string' || path === '')) {
    throw new FerroError('INVALID_OPTION', `${op}: path must name the module when dropout is above 0, got ${JSON.stringify(path)}`);
  }
}

/** Both words of a 64-bit seed given as scalar inputs: `seed` means the scalars `seedLo` and `seedHi`. */
export function seedScalars(seed: ScalarName): { seed_lo: string; seed_hi: string } {
  const name = scalarName(seed);
  return { seed_lo: `${name}Lo`, seed_hi: `${name}Hi` };
}
