import { describe, expect, test } from 'vitest';
import { FerroError } from '../errors';
import { CharTokenizer, CharVocabulary } from './charTokenizer';

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return error instanceof FerroError ? `${error.code}: ${error.message}` : `untyped: ${error}`;
  }
  return 'no error';
};

describe('CharTokenizer', () => {
  test('ids follow the code points, not the UTF-16 units', () => {
    // In UTF-16 units U+1F44B (d83d …) would come before U+FF01.
    const tokenizer = CharTokenizer.fromText('！b👋a');
    expect(tokenizer.characters).toEqual(['a', 'b', '！', '👋']);
    expect(Array.from(tokenizer.encode('👋ab！'))).toEqual([3, 0, 1, 2]);
    expect(tokenizer.vocabSize).toBe(4);
  });

  test('round trip of line ends, NUL, byte order mark, combining marks and emoji', () => {
    const text = '\uFEFFhello 👋 world 🌍\r\n\0e\u0301 “█” Ö\u2028\t';
    const tokenizer = CharTokenizer.fromText(text);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(tokenizer.encode(text)).toHaveLength([...text].length);
  });

  test('names of Object.prototype are text like any other', () => {
    const text = 'toString constructor hasOwnProperty __proto__';
    const tokenizer = CharTokenizer.fromText(text);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    const before = Object.getOwnPropertyNames(Object.prototype);
    CharTokenizer.fromText('__proto__');
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  });

  test('a lone surrogate counts as U+FFFD everywhere', () => {
    for (const text of ['a\ud83d', '\ude00a', 'a\ud83da', '\udc00\ud800']) {
      const tokenizer = CharTokenizer.fromText(text);
      expect(tokenizer.characters, JSON.stringify(text)).toContain('\ufffd');
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.replace(/\p{Surrogate}/gu, '\ufffd'));
    }
    expect(codeOf(() => CharTokenizer.fromText('ab').encode('a\ud83db'))).toMatch(/^UNKNOWN_CHARACTER: .*U\+FFFD.* at character 1$/);
  });

  test('an unknown character is named with its code point and place', () => {
    const tokenizer = CharTokenizer.fromText('abc');
    expect(codeOf(() => tokenizer.encode('abcxd'))).toBe(
      'UNKNOWN_CHARACTER: encode: every character must be in the vocabulary of 3, got "x" (U+0078) at character 3',
    );
    expect(codeOf(() => tokenizer.encode('a👋'))).toMatch(/got "👋" \(U\+1F44B\) at character 1/);
    expect(codeOf(() => tokenizer.encode('a\n'))).toMatch(/got U\+000A at character 1/);
    const stream = tokenizer.encoder();
    stream.push('abcabc');
    expect(codeOf(() => stream.push('bz'))).toMatch(/at character 7/);
  });

  test('pieces cut anywhere, also inside a character, give the ids and the vocabulary of the whole', () => {
    const text = 'a👋b\ud83dc🌍\ud83d';
    const whole = CharTokenizer.fromText(text);
    for (let size = 1; size <= text.length; size++) {
      const vocabulary = new CharVocabulary();
      const encoder = whole.encoder();
      const ids: number[] = [];
      for (let at = 0; at < text.length; at += size) {
        vocabulary.add(text.slice(at, at + size));
        ids.push(...encoder.push(text.slice(at, at + size)));
      }
      ids.push(...encoder.flush());
      expect(vocabulary.build().characters, `pieces of ${size}`).toEqual(whole.characters);
      expect(ids, `pieces of ${size}`).toEqual(Array.from(whole.encode(text)));
    }
  });

  test('a vocabulary from a stream equals that of the text', async () => {
    async function* stream() {
      yield 'ab\ud83d';
      yield '\udc4bc';
    }
    expect((await CharTokenizer.fromStream(stream())).characters).toEqual(['a', 'b', 'c', '👋']);
  });

  test('ids that are not in the vocabulary are typed errors', () => {
    const tokenizer = CharTokenizer.fromText('abc');
    for (const id of [3, -1, 1.5, Number.NaN, 50257]) {
      expect(codeOf(() => tokenizer.decode([0, id]))).toBe(
        `TOKEN_OUT_OF_RANGE: decode: ids must be integers from 0 to 2, got ${id} at position 1`,
      );
      expect(codeOf(() => tokenizer.byteLength(id))).toMatch(/^TOKEN_OUT_OF_RANGE/);
    }
  });

  test('a vocabulary must be single characters, each once', () => {
    expect(codeOf(() => new CharTokenizer([]))).toMatch(/^INVALID_TOKENIZER/);
    expect(codeOf(() => new CharTokenizer(['a', 'bc']))).toMatch(/got "bc" for id 1/);
    expect(codeOf(() => new CharTokenizer(['a', '']))).toMatch(/^INVALID_TOKENIZER/);
    expect(codeOf(() => new CharTokenizer(['a', '\ud83d']))).toMatch(/^INVALID_TOKENIZER/);
    expect(codeOf(() => new CharTokenizer(['a', 'b', 'a']))).toMatch(/got "a" \(U\+0061\) for ids 0 and 2/);
    expect(codeOf(() => CharTokenizer.fromText(''))).toMatch(/^EMPTY_DATA/);
  });

  test('byteLength is the length in UTF-8', () => {
    const text = 'aé€👋';
    const tokenizer = CharTokenizer.fromText(text);
    expect([0, 1, 2, 3].map((id) => tokenizer.byteLength(id))).toEqual([1, 2, 3, 4]);
  });

  test('a long text decodes whole, across the slices it is built from', () => {
    const tokenizer = CharTokenizer.fromText('ab👋');
    const text = 'ab👋'.repeat(5000);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    const decoder = tokenizer.decoder();
    expect(decoder.push(2) + decoder.push([0, 1]) + decoder.flush()).toBe('👋ab');
  });

  test('equal vocabularies have equal hashes, others not', () => {
    expect(CharTokenizer.fromText('ab').hash).toBe(CharTokenizer.fromText('bbbaa').hash);
    expect(CharTokenizer.fromText('ab').hash).not.toBe(CharTokenizer.fromText('abc').hash);
  });
});
