// The strings of test/golden/byte_level.py, made again in JavaScript: the same random numbers give the same texts.

/** Mulberry32, as in the script. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }
}

export function randomString(
  random: Random,
  { words, ranges }: { words: readonly string[]; ranges: readonly (readonly [number, number])[] },
): string {
  const parts: string[] = [];
  const count = 1 + random.below(12);
  for (let i = 0; i < count; i++) {
    if (random.below(8) < 5) {
      parts.push(words[random.below(words.length)]);
    } else {
      const [low, high] = ranges[random.below(ranges.length)];
      const point = low + random.below(high - low);
      parts.push(point >= 0xd800 && point <= 0xdfff ? 'x' : String.fromCodePoint(point));
    }
  }
  return parts.join('');
}

/** A Python template with `{}` or `{0}` and `{1}` filled in. */
export function fill(template: string, ...values: string[]): string {
  let next = 0;
  return template.replace(/\{(\d?)\}/g, (_, index: string) => values[index === '' ? next++ : Number(index)]);
}

export const SCALARS = 0x110000 - 0x800;
/** The Unicode scalar of that number: surrogates left out. */
export const scalar = (index: number): string => String.fromCodePoint(index < 0xd800 ? index : index + 0x800);
