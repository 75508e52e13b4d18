// parseJson beside JSON.parse: the same value for what nests little, an error instead of a deep value.
import { describe, expect, test } from 'vitest';
import { parseJson } from './json';

describe('parseJson', () => {
  test.each([
    '1',
    '[]',
    '{"a":[1,{"b":"]}\\"["}],"\\\\":"[[["}',
    `"${'['.repeat(1000)}"`,
    `${'['.repeat(128)}${']'.repeat(128)}`,
    `[${'[],'.repeat(500)}0]`,
  ])('reads %.40s', (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text));
  });

  test.each(['', '"', '"\\"', '[', ']', '{"a":1', 'NaN', '\ufeff1'])('refuses %j as JSON.parse does', (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });

  test.each([129, 1_000_000])('refuses a depth of %d', (depth) => {
    expect(() => parseJson('['.repeat(depth))).toThrow(/more than 128 deep/);
    expect(() => parseJson(`{"\\\\":${'{"a":'.repeat(depth)}1${'}'.repeat(depth + 1)}`)).toThrow(/more than 128 deep/);
  });
});
