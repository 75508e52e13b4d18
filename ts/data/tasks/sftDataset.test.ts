// Supervised pairs: which tokens are learned, what is left out, packing without a lost row and without a row that sees another, hashes.
import { describe, expect, test } from 'vitest';
import { RandomStream } from '../../math';
import { BpeTokenizer, ByteTokenizer } from '../../tokenizers';
import { roundLength } from './examples';
import { packLengths } from './packing';
import { SftDataset, type SftOptions } from './sftDataset';
import { Template } from './template';

const bytes = new ByteTokenizer();
const END = 256;
const options = (rest: Partial<SftOptions> = {}): SftOptions => ({ tokenizer: bytes, blockSize: 64, endOfText: END, ...rest });
const row = (data: ArrayLike<number>, b: number, T: number) => Array.from({ length: T }, (_, t) => data[b * T + t]);
const codes = (text: string) => [...new TextEncoder().encode(text)];

/** What a batch teaches: for each row the pairs of the text read so far (of the row's document) and the token to be learned. */
function lessons(dataset: SftDataset): string[] {
  const found: string[] = [];
  for (let index = 0; index < dataset.length; index++) {
    const { inputIds, labels, starts } = dataset.batch([index]);
    const T = inputIds.shape[1];
    for (let t = 0; t < T; t++) {
      if (labels.data[t] === -100) continue;
      const start = starts === undefined ? 0 : starts.data[t];
      found.push(`${Array.from(inputIds.data.slice(start, t + 1)).join()} -> ${labels.data[t]}`);
    }
  }
  return found.sort();
}

/** Pairs of random lengths, all of them different. */
function randomPairs(seed: number, count: number, longest: number): { prompt: string; completion: string }[] {
  const random = new RandomStream(seed, 'test');
  const text = (length: number) => Array.from({ length }, () => String.fromCharCode(97 + random.below(26))).join('');
  return Array.from({ length: count }, (_, i) => ({
    prompt: `${i} ${text(random.below(longest))}`,
    completion: text(1 + random.below(longest)),
  }));
}

describe('SftDataset', () => {
  test('the prompt is masked, the completion and its end are learned, rows are padded at the end', () => {
    const dataset = new SftDataset(
      [
        { prompt: 'ab', completion: 'xyz' },
        { prompt: '', completion: 'q' },
      ],
      options(),
    );
    expect(dataset.length).toBe(2);
    const { inputIds, labels, ...rest } = dataset.batch([0, 1]);
    expect(rest).toEqual({});
    expect(inputIds.shape).toEqual([2, 8]);
    expect(row(inputIds.data, 0, 8)).toEqual([...codes('abxyz'), 0, 0, 0]);
    expect(row(labels.data, 0, 8)).toEqual([-100, ...codes('xyz'), END, -100, -100, -100]);
    // Nothing to read: the end of text stands before the first token.
    expect(row(inputIds.data, 1, 8)).toEqual([END, ...codes('q'), 0, 0, 0, 0, 0, 0]);
    expect(row(labels.data, 1, 8)).toEqual([...codes('q'), END, -100, -100, -100, -100, -100, -100]);
    expect(dataset.report).toEqual({
      rows: 2,
      kept: 2,
      empty: 0,
      tooLong: 0,
      truncated: 0,
      longest: 6,
      firstTooLong: null,
      tokens: 9,
      countedTokens: 6,
      examples: 2,
    });
    expect(dataset.vocabSize).toBe(257);
  });

  test('an empty prompt is the same token in training and in generation', async () => {
    const bpe = await BpeTokenizer.train('a b c', { vocabSize: 257, specialTokens: ['<|endoftext|>'] });
    const dataset = new SftDataset([{ prompt: '', completion: 'q' }], { tokenizer: bpe, blockSize: 8 });
    expect(bpe.eosId).not.toBeNull();
    expect(dataset.batch([0]).inputIds.data[0]).toBe(bpe.eosId);
    expect(dataset.template.promptIds({ prompt: '' }, bpe)).toEqual(Int32Array.of(bpe.eosId!));
    expect(dataset.template.promptIds({ prompt: '' }, bpe, { border: false })).toHaveLength(0); // a source, a text to classify: left out
    expect(dataset.template.promptIds({ prompt: '' }, bytes)).toHaveLength(0);
  });

  test('the end of a completion: an id, a text, nothing, the tokenizer’s', async () => {
    const rows = [{ prompt: 'a', completion: 'b' }];
    const learnt = (rest: Partial<SftOptions>) =>
      Array.from(new SftDataset(rows, options(rest)).batch([0]).labels.data).filter((id) => id !== -100);
    expect(learnt({ endOfText: 7 })).toEqual([98, 7]);
    expect(learnt({ endOfText: '\n\n' })).toEqual([98, 10, 10]);
    expect(learnt({ endOfText: '' })).toEqual([98]);
    expect(() => learnt({ endOfText: undefined })).toThrow(/"endOfText" must be given/);
    const bpe = await BpeTokenizer.train('abab abab', { vocabSize: 257 });
    expect(learnt({ tokenizer: bpe, endOfText: undefined }).at(-1)).toBe(bpe.eosId);
  });

  test('a completion that does not fit is left out and counted, never cut', () => {
    const rows = [
      { prompt: 'aaaa', completion: 'bbb' }, // 8 tokens, 7 places
      { prompt: 'a', completion: 'b'.repeat(20) },
      { prompt: 'a'.repeat(20), completion: 'cc' },
      { prompt: 'a', completion: '' },
    ];
    const skip = new SftDataset(rows, options({ blockSize: 7 }));
    expect(skip.report).toMatchObject({ rows: 4, kept: 1, tooLong: 2, empty: 1, truncated: 0, longest: 23, firstTooLong: 'row 2' });
    const cut = new SftDataset(rows, options({ blockSize: 7, overflow: 'truncate' }));
    expect(cut.report).toMatchObject({ rows: 4, kept: 2, tooLong: 1, empty: 1, truncated: 1 });
    const { inputIds, labels } = cut.batch([1]);
    expect(inputIds.shape).toEqual([1, 7]);
    expect(Array.from(inputIds.data)).toEqual(codes('aaaaacc'));
    expect(Array.from(labels.data)).toEqual([-100, -100, -100, -100, ...codes('cc'), END]);
    expect(() => new SftDataset(rows, options({ blockSize: 7, overflow: 'error' }))).toThrowError(
      expect.objectContaining({
        code: 'INVALID_DATA',
        message: expect.stringMatching(/^row 2: .*blockSize \+ 1 = 8 tokens, got 22 \(and 1 more row with errors\)$/),
      }),
    );
    expect(() => new SftDataset(rows.slice(1), options({ blockSize: 7 }))).toThrowError(
      expect.objectContaining({
        code: 'EMPTY_DATA',
        message: expect.stringContaining('3 rows, of which 1 are empty and 2 too long (longest: 23 tokens)'),
      }),
    );
  });

  test('truncation at every length keeps the completion whole and one token before it', () => {
    for (let blockSize = 1; blockSize < 16; blockSize++) {
      const make = () => new SftDataset([{ prompt: 'pqrstu', completion: 'xyz' }], options({ blockSize, overflow: 'truncate' }));
      if (blockSize < 4) expect(make, `${blockSize}`).toThrowError(expect.objectContaining({ code: 'EMPTY_DATA' }));
      else {
        const { inputIds, labels } = make().batch([0]);
        const learnt = Array.from(labels.data).filter((id) => id !== -100);
        expect(learnt).toEqual([...codes('xyz'), END]);
        const first = labels.data.findIndex((id) => id !== -100);
        expect(Array.from(inputIds.data.slice(0, first + 1))).toEqual(codes('pqrstu').slice(-Math.min(6, blockSize - 3)));
      }
    }
  });

  test('packed or padded, the same tokens are learned after the same tokens, whatever the sizes', () => {
    for (const [seed, count, longest, blockSize] of [
      [1, 1, 5, 12],
      [2, 40, 5, 14],
      [3, 200, 12, 31],
      [4, 100, 30, 64],
      [5, 300, 3, 256],
    ]) {
      const rows = randomPairs(seed, count, longest);
      const padded = new SftDataset(rows, options({ blockSize }));
      const packed = new SftDataset(rows, options({ blockSize, packing: true }));
      expect(lessons(packed), `${seed}`).toEqual(lessons(padded));
      expect(packed.report).toEqual({ ...padded.report, examples: packed.length });
      expect(packed.length).toBeLessThanOrEqual(padded.length);
    }
  });

  test('starts and positions of a packed row; padding sees itself alone', () => {
    const rows = [
      { prompt: 'a', completion: 'b' },
      { prompt: 'cc', completion: 'dd' },
    ];
    const dataset = new SftDataset(rows, options({ blockSize: 8, packing: true }));
    const { inputIds, labels, starts, positions } = dataset.batch([0]);
    expect(Array.from(inputIds.data)).toEqual([...codes('ccddab'), 0, 0]);
    expect(Array.from(labels.data)).toEqual([-100, 100, 100, END, 98, END, -100, -100]);
    expect(Array.from(starts.data)).toEqual([0, 0, 0, 0, 4, 4, 6, 7]);
    expect(Array.from(positions.data)).toEqual([0, 1, 2, 3, 0, 1, 0, 0]);
  });

  test('hashes tell data and settings apart, and nothing else', async () => {
    const rows = randomPairs(1, 20, 8);
    const hash = (list = rows, rest: Partial<SftOptions> = {}) => new SftDataset(list, options(rest)).hash();
    const first = await hash();
    expect(first).toBe('b67ee75026544bce4ffd4046fd2a250a510104e07baf7ac91f59500f4454706f');
    expect(await hash(rows.map((each) => ({ ...each, comment: 1 })))).toBe(first);
    const others = [
      hash(rows.slice(1)),
      hash([...rows].reverse()),
      hash(rows, { blockSize: 63 }),
      hash(rows, { packing: true }),
      hash(rows, { groupByLength: true }),
      hash(rows, { endOfText: 255 }),
      hash(rows.map(({ prompt, completion }) => ({ prompt: prompt + completion[0], completion: completion.slice(1) + prompt[0] }))),
    ];
    expect(new Set([first, ...(await Promise.all(others))]).size).toBe(8);
  });

  test('options and indices are checked', () => {
    const rows = [{ prompt: 'a', completion: 'b' }];
    const refused = (rest: object, list: object[] = rows) => {
      try {
        new SftDataset(list as typeof rows, { ...options(), ...rest });
      } catch (error) {
        return `${(error as { code: string }).code}: ${(error as Error).message}`;
      }
      return 'accepted';
    };
    expect(refused({ blockSize: 0 })).toMatch(/^INVALID_OPTION: SftDataset: "blockSize" must be a positive integer/);
    expect(refused({ blockSize: undefined })).toBe('INVALID_OPTION: SftDataset: "blockSize" must be given, got none');
    expect(refused({ tokenizer: {} })).toBe('INVALID_OPTION: SftDataset: "tokenizer" must be a tokenizer, got an object (Object)');
    expect(refused({ packed: true })).toMatch(/^UNKNOWN_OPTION: .*"packing"/);
    expect(refused({ overflow: 'cut' })).toMatch(/^INVALID_OPTION: SftDataset: "overflow" must be one of/);
    expect(refused({ template: 'alpacca' })).toMatch(/^INVALID_OPTION: template: must be one of "plain", "alpaca", "chatml"/);
    expect(refused({ template: new Template('plain'), taskPrefix: 'x' })).toMatch(/^INVALID_OPTION: SftDataset: "taskPrefix"/);
    expect(refused({}, [])).toMatch(/^EMPTY_DATA/);
    expect(refused({}, [3 as unknown as object])).toMatch(
      /^INVALID_OPTION: SftDataset: each row must be a Row or an object, got 3 for row 1/,
    );
    expect(refused({}, [{ prompt: 1, completion: 'b' }, {}])).toBe(
      'INVALID_DATA: row 1: "prompt" must be a text, got 1 (and 1 more row with errors)',
    );
    const dataset = new SftDataset(rows, options());
    for (const indices of [[], [1], [-1], [0.5], [Number.NaN]]) {
      expect(() => dataset.batch(indices)).toThrowError(expect.objectContaining({ code: 'INVALID_OPTION' }));
    }
  });
});

describe('packLengths', () => {
  test('every sequence in one row, no row over the capacity, at most twice the fewest rows', () => {
    const random = new RandomStream(7, 'test');
    for (let round = 0; round < 200; round++) {
      const capacity = 1 + random.below(100);
      const lengths = Array.from({ length: 1 + random.below(300) }, () => 1 + random.below(capacity));
      const rows = packLengths(lengths, capacity);
      expect(rows.flat().sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
      const used = rows.map((each) => each.reduce((sum, i) => sum + lengths[i], 0));
      expect(Math.max(...used)).toBeLessThanOrEqual(capacity);
      const least = Math.ceil(lengths.reduce((sum, length) => sum + length, 0) / capacity);
      expect(rows.length).toBeGreaterThanOrEqual(least);
      expect(rows.length).toBeLessThanOrEqual(2 * least); // all rows but one are more than half full
    }
  });

  test('it is first fit by a plain search', () => {
    const random = new RandomStream(8, 'test');
    for (let round = 0; round < 100; round++) {
      const lengths = Array.from({ length: 1 + random.below(60) }, () => 1 + random.below(20));
      const order = lengths.map((_, i) => i).sort((a, b) => lengths[b] - lengths[a] || a - b);
      const plain: number[][] = [];
      const room: number[] = [];
      for (const i of order) {
        let at = room.findIndex((free) => free >= lengths[i]);
        if (at < 0) at = room.push(20) - 1;
        plain[at] = [...(plain[at] ?? []), i];
        room[at] -= lengths[i];
      }
      expect(packLengths(lengths, 20)).toEqual(plain);
    }
  });
});

test('lengths are rounded up to few sizes', () => {
  const sizes = new Set(Array.from({ length: 500 }, (_, i) => roundLength(i + 1)));
  expect([...sizes]).toEqual([8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]);
  for (let length = 1; length <= 500; length++) expect(roundLength(length)).toBeGreaterThanOrEqual(length);
  expect(roundLength(100, 100)).toBe(100);
  expect(roundLength(3, 5)).toBe(5);
});
