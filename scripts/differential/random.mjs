// Random numbers for the differential run: the same on every engine, cheap, and with all the values at which arithmetic has corners.

/** A generator of 32-bit words (xorshift128). */
export class Random {
  #state;

  constructor(seed) {
    this.#state = Uint32Array.of(seed ^ 0x9e3779b9, seed * 2654435761, 0x6a09e667, 0xbb67ae85);
    for (let i = 0; i < 16; i++) this.word();
  }

  word() {
    const s = this.#state;
    let t = s[3];
    t ^= t << 11;
    t ^= t >>> 8;
    s[3] = s[2];
    s[2] = s[1];
    s[1] = s[0];
    t ^= s[0] ^ (s[0] >>> 19);
    s[0] = t;
    return t >>> 0;
  }

  /** An integer from 0 to n − 1. */
  below(n) {
    return this.word() % n;
  }

  /** One of the given values. */
  of(...values) {
    return values[this.below(values.length)];
  }

  /** About normal: the sum of four uniform numbers, variance 1. */
  normal() {
    const word = this.word();
    const other = this.word();
    return (((word & 0xffff) + (word >>> 16) + (other & 0xffff) + (other >>> 16)) / 65536 - 2) * Math.sqrt(3);
  }

  /** A size around the edges of lanes and tiles; rarely larger, at most `most`. */
  size(most = 80) {
    const kind = this.below(20);
    if (kind === 0) return Math.min(most, 1 + this.below(most));
    if (kind < 8) return Math.min(most, 1 + this.below(20));
    const edge = this.of(4, 8, 12, 16, 24, 32, 48, 64);
    return Math.min(most, Math.max(1, edge + this.of(-1, 0, 0, 0, 1, 2, 3)));
  }
}

const NAN = 0x7fc00000;
/** Bits of the values with corners: zeros, infinities, subnormals, extremes, ends of exp, ties of rounding, NaN. */
const SPECIAL = Uint32Array.of(
  0,
  0x80000000,
  0x7f800000,
  0xff800000,
  NAN,
  0xffc00000,
  1,
  0x80000001,
  0x7fffff,
  0x807fffff,
  0x800000,
  0x80800000,
  0x7f7fffff,
  0xff7fffff,
  0x3f800000,
  0xbf800000,
  0x42b17218,
  0x42b0c0a5,
  0xc2cff1b5,
  0xc2aeac50,
  0x4b000000,
  0x4b000001,
  0xcb000001,
  0x3f000000,
  0x3fc00000,
  0x34000000,
  0x5f000000,
);

/** How a pool is filled. */
export const FLAVOURS = ['ordinary', 'ordinary', 'ordinary', 'ordinary', 'small', 'large', 'exponents', 'sprinkled', 'bits'];

/**
 * Fills a pool with floats of one flavour. NaNs are those that arithmetic makes, of either sign: which payload survives an operation WebAssembly leaves
 * open, and the kernels' exponential keeps NaN only without one (crates/kernels/src/vecmath.rs).
 */
export function fillFloats(random, words, flavour) {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  const scale = { small: 1e-3, large: 40 }[flavour] ?? 1;
  for (let i = 0; i < words.length; i++) {
    if (flavour === 'bits') words[i] = random.word();
    else if (flavour === 'exponents') words[i] = (random.word() & 0x807fffff) | ((1 + random.below(254)) << 23);
    else if (flavour === 'sprinkled' && random.below(64) === 0) words[i] = SPECIAL[random.below(SPECIAL.length)];
    else floats[i] = random.normal() * scale;
    if ((words[i] & 0x7fffffff) > 0x7f800000) words[i] = (words[i] & 0x80000000) | NAN;
  }
}
