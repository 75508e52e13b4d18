// The order of the examples in one epoch: a seeded permutation. Small ones are drawn exactly uniformly and held; large ones are computed element by
// element, so that an epoch of a large corpus begins at once and takes no memory.
import { RandomStream } from '../math';

/** Up to this many elements the permutation is held: 1 MB, drawn in well under a tenth of a second. */
export const HELD_LIMIT = 1 << 18;
const ROUNDS = 8;

/** The `index`-th element of a permutation of [0, count), for 0 ≤ index < count. */
export type Order = (index: number) => number;

/** The order of an epoch. @param count 1 to 2^32 */
export function epochOrder(seed: number, epoch: number, count: number): Order {
  const stream = new RandomStream(seed, 'data.order', epoch);
  if (count > HELD_LIMIT) return feistelOrder(stream, count);
  const held = stream.permutation(count);
  return (index) => held[index];
}

/** The last steps of MurmurHash3 (Appleby, public domain): every bit of the input changes every bit of the result with probability near ½. */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/**
 * A Feistel network over numbers of 2·h bits, whatever its round function a permutation of [0, 4^h); results beyond `count` are put through it again
 * until one is below ("cycle walking": Black and Rogaway 2002), fewer than four times on average, which makes it a permutation of [0, count).
 */
export function feistelOrder(stream: RandomStream, count: number): Order {
  let size = 2; // 2^h, at most 2^16
  while (size * size < count) size *= 2;
  const mask = size - 1;
  const keys = Array.from({ length: ROUNDS }, () => stream.nextU32());
  return (index) => {
    let value = index;
    do {
      let left = Math.floor(value / size);
      let right = value % size;
      for (const key of keys) [left, right] = [right, left ^ (mix(right ^ key) & mask)];
      value = left * size + right;
    } while (value >= count);
    return value;
  };
}
