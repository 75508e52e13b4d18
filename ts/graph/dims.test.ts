// Arithmetic, equality and printing of sizes.
import { describe, expect, it } from 'vitest';
import { DimProduct, dimEquals, dimMax, dimMul, dimValue, Extent, maxNumel, numel, shapeEquals, shapeText, shapeValue } from './dims';

const [B, T] = [new Extent('batch', 12), new Extent('time', 8)];

describe('Extent', () => {
  it.each([0, -1, 1.5, Number.NaN, 2 ** 31])('refuses max %s', (max) => {
    expect(() => new Extent('n', max)).toThrow(`Extent: max of "n" must be a positive integer below 2^31, got ${max}`);
  });
  it('refuses an empty name', () => {
    expect(() => new Extent('', 3)).toThrow('Extent: name must not be empty, got ""');
  });
});

describe('dimMul', () => {
  it('is canonical: a number without extents, the extent itself alone, else a sorted product', () => {
    expect(dimMul(2, 3)).toBe(6);
    expect(dimMul()).toBe(1);
    expect(dimMul(1, B)).toBe(B);
    expect(dimMul(0, B)).toBe(0);
    expect(dimMul(T, 3, B, 2)).toEqual(new DimProduct(6, [B, T]));
    expect(dimMul(dimMul(T, 3), B)).toEqual(dimMul(B, dimMul(3, T)));
  });
  it('refuses more than three extents', () => {
    expect(() => dimMul(B, T, B, T)).toThrow('dimMul: a product holds at most 3 extents, got batch≤12·time≤8·batch≤12·time≤8');
  });
});

describe('equality, maxima, values', () => {
  it('compares by factor, name and max', () => {
    expect(dimEquals(dimMul(B, T), dimMul(T, B))).toBe(true);
    expect(dimEquals(B, new Extent('batch', 12))).toBe(true);
    expect(dimEquals(B, new Extent('batch', 13))).toBe(false);
    expect(dimEquals(B, dimMul(2, B))).toBe(false);
    expect(dimEquals(12, B)).toBe(false);
    expect(shapeEquals([B, 2], [B, 2])).toBe(true);
    expect(shapeEquals([B, 2], [B, 2, 1])).toBe(false);
  });
  it('gives maxima and run-time values', () => {
    expect(dimMax(dimMul(B, T, 3))).toBe(288);
    expect(maxNumel([B, 64])).toBe(768);
    expect(numel([B, 2, 3])).toEqual(dimMul(6, B));
    expect(dimValue(dimMul(B, T, 3), { batch: 2, time: 5 })).toBe(30);
    expect(shapeValue([B, 64], { batch: 0 })).toEqual([0, 64]);
  });
  it.each([{ batch: 13 }, { batch: -1 }, { batch: 1.5 }, {}])('refuses the extents %o', (values) => {
    const got = (values as { batch?: number }).batch;
    expect(() => dimValue(B, values as Record<string, number>)).toThrow(`run: extent "batch" must be an integer from 0 to 12, got ${got}`);
  });
});

describe('printing', () => {
  it('shows names, maxima and factors', () => {
    expect(shapeText([B, 64, dimMul(3, T)])).toBe('[batch≤12, 64, 3·time≤8]');
    expect(shapeText([])).toBe('[]');
  });
});
