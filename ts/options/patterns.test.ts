// Patterns of dotted paths, compared with the regular expressions that say the same.
import { describe, expect, it } from 'vitest';
import { matchesPath, matchesText } from './patterns';

const PATHS = ['transformer.h.0.attn.c_attn', 'transformer.h.10.mlp.c_fc', 'transformer.wte', 'h.1', 'score', 'a..b', 'x.y+z'];
const PATTERNS = [
  'c_attn',
  'attn',
  'attn.c_attn',
  'h.1',
  'h.*',
  '*',
  'h.*.mlp.*',
  'transformer',
  'c_*',
  '*attn',
  'y+z',
  'wt',
  '.',
  'a.',
  '**0*',
];

const expression = (pattern: string, after: string) =>
  new RegExp(`^(?:.*\\.)?${pattern.replace(/[.+]/g, '\\$&').replaceAll('*', '.*')}${after}$`);

describe('patterns of paths', () => {
  it.each(PATTERNS)('%s means what its regular expression means', (pattern) => {
    for (const path of PATHS) {
      expect(matchesPath(pattern, path), path).toBe(expression(pattern, '').test(path));
      expect(matchesPath(pattern, path, true), `inside ${path}`).toBe(expression(pattern, '(?:\\..*)?').test(path));
    }
  });

  it('needs no more than text × pattern steps, where backtracking would not end', () => {
    const text = 'a'.repeat(2000);
    expect(matchesText(`${'*a'.repeat(300)}b`, text)).toBe(false);
    expect(matchesText(`${'*a'.repeat(300)}*`, text)).toBe(true);
  });

  it('takes characters as they are', () => {
    expect(matchesText('a[0]', 'a[0]')).toBe(true);
    expect(matchesText('a?', 'ab')).toBe(false);
    expect(matchesText('', '')).toBe(true);
    expect(matchesText('', 'a')).toBe(false);
  });
});
