import { describe, expect, test } from 'vitest';
import { RandomStream } from '../math';
import { epochOrder, feistelOrder, HELD_LIMIT } from './order';

const all = (count: number, order: (index: number) => number) => Array.from({ length: count }, (_, i) => order(i));

describe('epochOrder', () => {
  test('a permutation on both sides of the limit, also far above it', () => {
    for (const count of [1, 2, 3, HELD_LIMIT, HELD_LIMIT + 1, 1_048_577]) {
      const order = epochOrder(7, 3, count);
      const seen = new Uint8Array(count);
      for (let i = 0; i < count; i++) seen[order(i)]++;
      expect(
        seen.every((times) => times === 1),
        `${count} elements`,
      ).toBe(true);
    }
    const huge = epochOrder(7, 3, 2 ** 32);
    for (const index of [0, 1, 2 ** 31, 2 ** 32 - 1]) {
      expect(huge(index)).toBeGreaterThanOrEqual(0);
      expect(huge(index)).toBeLessThan(2 ** 32);
    }
  });

  test('a pure function of seed, epoch and count', () => {
    const start = (seed: number, epoch: number, count: number) => all(5, epochOrder(seed, epoch, count)).join();
    for (const count of [1000, HELD_LIMIT + 1000]) {
      expect(start(1, 2, count)).toBe(start(1, 2, count));
      expect(new Set([start(1, 2, count), start(1, 3, count), start(2, 2, count)]).size).toBe(3);
    }
  });
});

describe('feistelOrder', () => {
  test('a permutation for every small count', () => {
    for (let count = 1; count <= 300; count++) {
      const values = all(count, feistelOrder(new RandomStream(count, 'test'), count)).sort((a, b) => a - b);
      expect(values).toEqual(Array.from({ length: count }, (_, i) => i));
    }
  });

  test('neighbours are independent: pairs of following elements fill a 16×16 table evenly (chi-square)', () => {
    const count = 300_000;
    const order = feistelOrder(new RandomStream(99, 'test'), count);
    const table = new Float64Array(256);
    const cell = (value: number) => Math.floor((value * 16) / count);
    for (let i = 0; i + 1 < 100_000; i += 2) table[cell(order(i)) * 16 + cell(order(i + 1))]++;
    const expected = 50_000 / 256;
    const chiSquare = table.reduce((sum, n) => sum + ((n - expected) * (n - expected)) / expected, 0);
    expect(chiSquare).toBeGreaterThan(160); // 255 degrees of freedom: 160 and 370 are beyond 1e-5 on either side
    expect(chiSquare).toBeLessThan(370);
  });

  test('the place of the first element is uniform over seeds (chi-square)', () => {
    const counts = new Float64Array(50);
    for (let seed = 0; seed < 5000; seed++) counts[feistelOrder(new RandomStream(seed, 'test'), 50)(0)]++;
    const chiSquare = counts.reduce((sum, n) => sum + ((n - 100) * (n - 100)) / 100, 0);
    expect(chiSquare).toBeLessThan(100); // 49 degrees of freedom: p ≈ 3e-5
  });
});
