// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): random words as a pure function of key and counter.
// The same function as crates/kernels/src/philox.rs; here it shuffles data and draws seeds. Weights, dropout and sampling are drawn in Rust.

import { fnv1a64, seedWords } from './hash';

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9; // golden ratio
const W1 = 0xbb67ae85; // √3 − 1

/** The upper 32 bits of a 32×32-bit product, by 16-bit halves: every partial result is below 2^53. */
function mulHigh(a: number, b: number): number {
  const aLo = a & 0xffff;
  const aHi = a >>> 16;
  const bLo = b & 0xffff;
  const bHi = b >>> 16;
  const low = aLo * bLo;
  const middle = aHi * bLo + Math.floor(low / 65536);
  const middle2 = aLo * bHi + (middle % 65536);
  return (aHi * bHi + Math.floor(middle / 65536) + Math.floor(middle2 / 65536)) >>> 0;
}

/**
 * Ten rounds of Philox4x32. Key: two u32; counter: four u32; the four random u32 are written to `out` (which may be `counter`).
 * Known answer: key 0, counter 0 → 6627e8d5 e169c58d bc57ac4c 9b00dbd8.
 */
export function philox4x32(key: ArrayLike<number>, counter: ArrayLike<number>, out: Uint32Array): Uint32Array {
  let k0 = key[0] >>> 0;
  let k1 = key[1] >>> 0;
  let c0 = counter[0] >>> 0;
  let c1 = counter[1] >>> 0;
  let c2 = counter[2] >>> 0;
  let c3 = counter[3] >>> 0;
  for (let round = 0; round < 10; round++) {
    const hi0 = mulHigh(M0, c0);
    const lo0 = Math.imul(M0, c0);
    const hi1 = mulHigh(M1, c2);
    const lo1 = Math.imul(M1, c2);
    c0 = (hi1 ^ c1 ^ k0) >>> 0;
    c1 = lo1 >>> 0;
    c2 = (hi0 ^ c3 ^ k1) >>> 0;
    c3 = lo0 >>> 0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
  return out;
}

/** A stream of random words named by a seed and a path; two streams of different names are independent. State: the words drawn so far. */
export class RandomStream {
  readonly #key: [number, number];
  readonly #counter = new Uint32Array(4);
  readonly #block = new Uint32Array(4);
  #at = 4;

  /**
   * @param seed integer from 0 to 2^53 − 1
   * @param path what the numbers are for, for example `data.shuffle`
   * @param index distinguishes streams of one path, for example the epoch; integer from 0 to 2^32 − 1
   */
  constructor(seed: number, path: string, index = 0) {
    const [lo, hi] = fnv1a64(path);
    // A sub-key as for dropout: the first words of philox(seed; index, 0, path), so the whole 128-bit counter is left to the stream.
    const sub = philox4x32(seedWords(seed), [index, 0, lo, hi], new Uint32Array(4));
    this.#key = [sub[0], sub[1]];
  }

  /** The next random unsigned 32-bit integer. */
  nextU32(): number {
    if (this.#at === 4) {
      philox4x32(this.#key, this.#counter, this.#block);
      this.#counter[0] += 1;
      if (this.#counter[0] === 0) this.#counter[1] += 1;
      this.#at = 0;
    }
    return this.#block[this.#at++];
  }

  /**
   * A uniform integer in [0, n), without bias (draws beyond the last whole multiple of n are rejected).
   * @throws RangeError unless n is an integer from 1 to 2^32.
   */
  below(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 4294967296) throw new RangeError(`below: n must be an integer from 1 to 2^32, got ${n}`);
    const limit = 4294967296 - (4294967296 % n);
    let word = this.nextU32();
    while (word >= limit) word = this.nextU32();
    return word % n;
  }

  /** A uniform number in [0, 1), a multiple of 2^−32. */
  uniform(): number {
    return this.nextU32() / 4294967296;
  }

  /** Every integer of [0, n) once, in a uniformly random order (Fisher–Yates; Durstenfeld 1964). */
  permutation(n: number): Uint32Array {
    const order = new Uint32Array(n);
    for (let i = 0; i < n; i++) order[i] = i;
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const other = order[j];
      order[j] = order[i];
      order[i] = other;
    }
    return order;
  }
}
