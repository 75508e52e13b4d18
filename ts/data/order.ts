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

/** Rows of near length that follow each other: batches that divide it stay within. */
const GROUP = 64;
/** Groups that are sorted together, at most. */
const MOST_GROUPS = 64;

/**
 * An order in which examples of near length follow each other, made from any order: stretches of it of at most 4096 examples are sorted
 * by length and cut into groups of 64; groups, and the examples in each, come in an order drawn at random. Each example still comes once, and each element
 * is a function of the arguments alone. One stretch is held.
 * @param stream the random numbers of a stretch, by its number
 */
export function groupedOrder(order: Order, lengths: ArrayLike<number>, stream: (stretch: number) => RandomStream): Order {
  const count = lengths.length;
  const size = GROUP * Math.min(MOST_GROUPS, Math.max(1, Math.floor(count / GROUP)));
  let held: readonly number[] = [];
  let heldStretch = -1;
  return (index) => {
    const stretch = Math.floor(index / size);
    if (stretch !== heldStretch) {
      const first = stretch * size;
      const examples = Array.from({ length: Math.min(size, count - first) }, (_, i) => order(first + i));
      held = groupStretch(examples, lengths, stream(stretch));
      heldStretch = stretch;
    }
    return held[index - stretch * size];
  };
}

function groupStretch(examples: readonly number[], lengths: ArrayLike<number>, random: RandomStream): number[] {
  const place = new Map(examples.map((example, i) => [example, i]));
  const byPlace = (a: number, b: number) => place.get(a)! - place.get(b)!;
  const sorted = [...examples].sort((a, b) => lengths[a] - lengths[b] || byPlace(a, b));
  // The last group may be short: it stays last, so that the others begin at multiples of their size.
  const whole = Math.floor(sorted.length / GROUP);
  const groups = [...random.permutation(whole), whole];
  return groups.flatMap((group) => sorted.slice(group * GROUP, (group + 1) * GROUP).sort(byPlace));
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
