import { describe, expect, it } from 'vitest';
import { fnv1a64, seedWords } from './hash';
import { philox4x32, RandomStream } from './philox';

const hex = (words: ArrayLike<number>) => Array.from(words, (w) => w.toString(16).padStart(8, '0')).join(' ');

describe('philox4x32', () => {
  it('gives the known answers of Random123', () => {
    // kat_vectors of the Random123 distribution, philox4x32 10 rounds.
    const out = () => new Uint32Array(4);
    expect(hex(philox4x32([0, 0], [0, 0, 0, 0], out()))).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8');
    const ones = 0xffffffff;
    expect(hex(philox4x32([ones, ones], [ones, ones, ones, ones], out()))).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd');
    expect(hex(philox4x32([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], out()))).toBe(
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    );
  });
});

describe('fnv1a64', () => {
  it('gives the published values', () => {
    // Test vectors of the FNV authors: "" , "a", "foobar".
    const text = (t: string) => {
      const [lo, hi] = fnv1a64(t);
      return hex([hi, lo]);
    };
    expect(text('')).toBe('cbf29ce4 84222325');
    expect(text('a')).toBe('af63dc4c 8601ec8c');
    expect(text('foobar')).toBe('85944171 f73967e8');
  });
  it('hashes UTF-8, as plain 64-bit arithmetic does', () => {
    for (const text of ['transformer.h.0.attn.c_attn.weight', 'naïve', '日本語', '👋', 'x'.repeat(300)]) {
      let want = 0xcbf29ce484222325n;
      for (const byte of new TextEncoder().encode(text)) want = ((want ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
      const [lo, hi] = fnv1a64(text);
      expect((BigInt(hi) << 32n) | BigInt(lo)).toBe(want);
    }
  });
});

describe('seedWords', () => {
  it('splits up to 2^53 − 1', () => {
    expect(seedWords(42)).toEqual([42, 0]);
    expect(seedWords(2 ** 53 - 1)).toEqual([0xffffffff, 0x1fffff]);
    expect(seedWords(2 ** 32 + 5)).toEqual([5, 1]);
  });
});

describe('RandomStream', () => {
  it('depends on seed, path and index only', () => {
    const draw = (seed: number, path: string, index?: number) =>
      hex(
        Array.from(
          { length: 6 },
          (
            (s) => () =>
              s.nextU32()
          )(new RandomStream(seed, path, index)),
        ),
      );
    expect(draw(1, 'a')).toBe(draw(1, 'a', 0));
    const all = [draw(1, 'a'), draw(2, 'a'), draw(1, 'b'), draw(1, 'a', 1), draw(1 + 2 ** 32, 'a')];
    expect(new Set(all).size).toBe(all.length);
  });
  it('draws uniform integers: chi-square over 60,000 throws of a die', () => {
    const stream = new RandomStream(3, 'die');
    const counts = new Array(6).fill(0);
    for (let i = 0; i < 60000; i++) counts[stream.below(6)]++;
    const chi = counts.reduce((sum, n) => sum + (n - 10000) ** 2 / 10000, 0);
    expect(chi).toBeLessThan(25.7); // p = 1e-4 with 5 degrees of freedom
  });
  it('rejects sizes it cannot serve', () => {
    const stream = new RandomStream(3, 'die');
    for (const n of [0, -1, 1.5, Number.NaN, 2 ** 32 + 1]) expect(() => stream.below(n)).toThrow(RangeError);
    expect(stream.below(1)).toBe(0);
    expect(stream.below(2 ** 32)).toBeLessThan(2 ** 32);
  });
  it('permutes: every number once, all orders of three about equally often', () => {
    expect(Array.from(new RandomStream(1, 'p').permutation(1000)).sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(new RandomStream(1, 'p').permutation(0)).toHaveLength(0);
    const seen = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = new RandomStream(1, 'p', i).permutation(3).join('');
      seen.set(order, (seen.get(order) ?? 0) + 1);
    }
    expect(seen.size).toBe(6);
    for (const n of seen.values()) expect(Math.abs(n - 1000)).toBeLessThan(130); // 4.5 standard deviations
  });
});
