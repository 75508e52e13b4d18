// FNV-1a, 64 bits, of a text's UTF-8 bytes, as two 32-bit words. It names random streams (a module's path, a variable's name); it is the same
// function as in crates/kernels/src/philox.rs. Not a cryptographic hash.

const encoder = new TextEncoder();

/**
 * FNV-1a 64 (offset basis cbf29ce484222325, prime 100000001b3; Fowler, Noll, Vo) of `text` in UTF-8.
 * @returns [low word, high word], each an unsigned 32-bit integer.
 */
export function fnv1a64(text: string): [lo: number, hi: number] {
  let lo = 0x84222325;
  let hi = 0xcbf29ce4;
  for (const byte of encoder.encode(text)) {
    lo = (lo ^ byte) >>> 0;
    // The prime is 2^40 + 0x1b3: times 2^40 moves the low word eight bits up into the high one.
    const carry = Math.floor((lo * 0x1b3) / 4294967296); // lo · 435 < 2^41: exact in a double
    hi = (Math.imul(hi, 0x1b3) + carry + (lo << 8)) >>> 0;
    lo = Math.imul(lo, 0x1b3) >>> 0;
  }
  return [lo, hi];
}

/** A seed (an integer from 0 to 2^53 − 1) as its two 32-bit words [low, high]. */
export function seedWords(seed: number): [lo: number, hi: number] {
  return [seed >>> 0, Math.floor(seed / 4294967296) >>> 0];
}
