import { describe, expect, it } from 'vitest';
import { cosPi, exp, integerPower, ln } from './exact';
import { RandomStream } from './philox';

/** Uniform numbers in [lo, hi), seeded. */
function* uniform(count: number, lo: number, hi: number): Generator<number> {
  const stream = new RandomStream(7, 'exact.test');
  for (let i = 0; i < count; i++) yield lo + (hi - lo) * stream.uniform();
}

const relative = (got: number, want: number) => Math.abs(got - want) / Math.max(Math.abs(want), Number.MIN_VALUE);

describe('exp', () => {
  it('is within 1e-15 of Math.exp over the whole range', () => {
    let worst = 0;
    for (const x of uniform(20000, -700, 700)) worst = Math.max(worst, relative(exp(x), Math.exp(x)));
    for (const x of uniform(20000, -2, 2)) worst = Math.max(worst, relative(exp(x), Math.exp(x)));
    expect(worst).toBeLessThan(5e-16);
  });
  it('is exact where it must be and right at the ends', () => {
    expect(exp(0)).toBe(1);
    expect(exp(-0)).toBe(1);
    expect(exp(710)).toBe(Number.POSITIVE_INFINITY);
    expect(exp(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
    expect(exp(-746)).toBe(0);
    expect(exp(Number.NEGATIVE_INFINITY)).toBe(0);
    expect(exp(Number.NaN)).toBeNaN();
    expect(exp(-744)).toBe(1e-323); // two steps of the smallest subnormal: 9.85e-324
    expect(relative(exp(709.7), Math.exp(709.7))).toBeLessThan(5e-16);
    expect(relative(exp(1e-300), 1)).toBe(0);
  });
});

describe('ln', () => {
  it('is within 1e-15 of Math.log, near one too', () => {
    let worst = 0;
    for (const x of uniform(20000, -300, 300)) {
      const value = Math.exp(x);
      worst = Math.max(worst, relative(ln(value), Math.log(value)));
    }
    for (const x of uniform(20000, 0.5, 2)) worst = Math.max(worst, relative(ln(x), Math.log(x)));
    for (const x of uniform(2000, -1e-6, 1e-6)) worst = Math.max(worst, relative(ln(1 + x), Math.log(1 + x)));
    expect(worst).toBeLessThan(5e-16);
  });
  it('is right at the ends', () => {
    expect(ln(1)).toBe(0);
    expect(ln(0)).toBe(Number.NEGATIVE_INFINITY);
    expect(ln(-1)).toBeNaN();
    expect(ln(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
    expect(relative(ln(Number.MIN_VALUE), Math.log(Number.MIN_VALUE))).toBeLessThan(5e-16);
    expect(relative(ln(Number.MAX_VALUE), Math.log(Number.MAX_VALUE))).toBeLessThan(5e-16);
  });
});

describe('cosPi', () => {
  it('is within 3e-16 of Math.cos in the first turn', () => {
    let worst = 0;
    // Math.cos(Math.PI * x) itself carries the rounding of π·x, up to 4e-16 at x = 2.
    for (const x of uniform(20000, 0, 1)) worst = Math.max(worst, Math.abs(cosPi(x) - Math.cos(Math.PI * x)));
    expect(worst).toBeLessThan(4e-16);
  });
  it('is exact at multiples of a half, even and periodic', () => {
    expect([0, 0.5, 1, 1.5, 2, 2.5, 1e15].map(cosPi)).toEqual([1, 0, -1, 0, 1, 0, 1]);
    expect(cosPi(1 / 3)).toBeCloseTo(0.5, 15);
    expect(cosPi(-0.3)).toBe(cosPi(0.3));
    expect(cosPi(4.25)).toBe(cosPi(0.25));
    expect(cosPi(Number.NaN)).toBeNaN();
    expect(cosPi(Number.POSITIVE_INFINITY)).toBeNaN();
  });
});

describe('integerPower', () => {
  it('is within n·1e-16 of Math.pow', () => {
    for (const [base, n] of [
      [0.9, 1000],
      [0.99, 12345],
      [0.999, 100000],
      [1.5, 40],
      [2, -20],
      [-3, 5],
    ] as const) {
      expect(relative(integerPower(base, n), base ** n)).toBeLessThan(Math.abs(n) * 1.2e-16 + 1e-15);
    }
  });
  it('knows zero, one and rejects fractions', () => {
    expect(integerPower(0.9, 0)).toBe(1);
    expect(integerPower(0, 0)).toBe(1);
    expect(integerPower(0, 3)).toBe(0);
    expect(integerPower(0.99, 1)).toBe(0.99);
    expect(() => integerPower(2, 0.5)).toThrow('integerPower: the exponent must be an integer, got 0.5');
  });
});

describe('bits', () => {
  it('are these on every engine', () => {
    // Recorded from Node 20; any engine or version that differs here would break resuming a run elsewhere.
    const words = (x: number) => {
      const view = new DataView(new ArrayBuffer(8));
      view.setFloat64(0, x);
      return view.getBigUint64(0).toString(16);
    };
    expect([exp(0.1), exp(-12.3), ln(0.3), ln(12345), cosPi(0.123), cosPi(0.9), integerPower(0.999, 777)].map(words)).toEqual([
      '3ff1aec7b35a00d4',
      '3ed31765fdaf4f37',
      'bff34378fcbda721',
      '4022d78e26ae18e8',
      '3feda3f812810442',
      'bfee6f0e13445500',
      '3fdd6a2958545178',
    ]);
  });
});
