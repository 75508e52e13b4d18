// Parting rows: every row on one side, the asked share, keys whole, the same again for the same seed.
import { expect, test } from 'vitest';
import { RandomStream } from '../../math';
import { splitExamples } from './splitExamples';

const numbered = (count: number) => Array.from({ length: count }, (_, id) => ({ id, word: `w${id % 7}` }));

test('every row is on one side, in its order; the share is exact without a key', () => {
  for (const count of [1, 2, 10, 99, 1000]) {
    for (const evalFraction of [0, 0.1, 0.25, 0.5, 0.99]) {
      const { train, validation } = splitExamples(numbered(count), { evalFraction, seed: 3 });
      expect(validation.length).toBe(Math.round(count * evalFraction));
      const ids = (rows: typeof train) => rows.map((row) => row.get('id') as number);
      for (const side of [ids(train), ids(validation)]) expect(side).toEqual([...side].sort((a, b) => a - b));
      expect([...ids(train), ...ids(validation)].sort((a, b) => a - b)).toEqual(numbered(count).map(({ id }) => id));
    }
  }
});

test('rows of one key are on one side, by a field or a function', () => {
  const random = new RandomStream(1, 'test');
  const rows = Array.from({ length: 500 }, (_, id) => ({ id, source: `s${random.below(80)}` }));
  for (const key of ['source', (row: { get(name: string): unknown }) => row.get('source') as string]) {
    const { train, validation } = splitExamples(rows, { key, evalFraction: 0.2 });
    const sources = (side: typeof train) => new Set(side.map((row) => row.get('source')));
    for (const source of sources(train)) expect(sources(validation).has(source)).toBe(false);
    expect(train.length + validation.length).toBe(500);
    expect(validation.length).toBeGreaterThanOrEqual(100);
    expect(validation.length).toBeLessThan(120);
  }
});

test('the same seed parts the same way, another one another way; a known part', () => {
  const part = (seed?: number) => splitExamples(numbered(30), { evalFraction: 0.2, seed }).validation.map((row) => row.get('id'));
  expect(part(42)).toEqual(part());
  expect(part(43)).not.toEqual(part(42));
  expect(part(42)).toEqual([11, 15, 19, 24, 25, 27]);
});

test('options and keys are checked', () => {
  for (const options of [{ evalFraction: 1 }, { evalFraction: -0.1 }, { evalFraction: Number.NaN }, { seed: 0.5 }, { seed: -1 }]) {
    expect(() => splitExamples(numbered(3), options)).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
  }
  expect(() => splitExamples(numbered(3), { key: 'words' })).toThrowError(
    expect.objectContaining({
      code: 'INVALID_DATA',
      message: 'row 1: a row must have the field "words" that the split goes by, got ["id", "word"]',
    }),
  );
  expect(() => splitExamples([])).toThrowError(expect.objectContaining({ code: 'EMPTY_DATA' }));
});
