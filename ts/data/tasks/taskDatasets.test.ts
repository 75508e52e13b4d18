// Classification, sequence-to-sequence and preference data: exact batches, what is left out, labels unseen in training, hashes.
import { describe, expect, test } from 'vitest';
import { BpeTokenizer, ByteTokenizer, CharTokenizer } from '../../tokenizers';
import { ClassificationDataset } from './classificationDataset';
import { PreferenceDataset } from './preferenceDataset';
import { readRows } from './readRows';
import { Seq2SeqDataset } from './seq2seqDataset';

const bytes = new ByteTokenizer();
const codes = (text: string) => [...new TextEncoder().encode(text)];
const row = (data: ArrayLike<number>, b: number, T: number) => Array.from({ length: T }, (_, t) => data[b * T + t]);

function failure(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`;
  }
  return 'accepted';
}

describe('ClassificationDataset', () => {
  const rows = readRows('good film\t1\nbad\t0\nfine\t1\n', { format: 'tsv', name: 'train.tsv', columns: ['text', 'label'] });

  test('ids padded at the end, lengths, labels as classes', () => {
    const dataset = new ClassificationDataset(rows, { tokenizer: bytes, blockSize: 32 });
    expect(dataset.labels).toEqual(['0', '1']);
    expect(dataset.counts).toEqual([1, 2]);
    const { inputIds, lengths, labels, ...rest } = dataset.batch([1, 0]);
    expect(rest).toEqual({});
    expect(inputIds.shape).toEqual([2, 16]);
    expect(row(inputIds.data, 0, 16)).toEqual([...codes('bad'), ...new Array(13).fill(0)]);
    expect(row(inputIds.data, 1, 16)).toEqual([...codes('good film'), ...new Array(7).fill(0)]);
    expect(lengths).toEqual({ data: Int32Array.of(3, 9), shape: [2] });
    expect(labels).toEqual({ data: Int32Array.of(0, 1), shape: [2] });
    expect(dataset.report).toMatchObject({ rows: 3, kept: 3, tokens: 16, countedTokens: 3, examples: 3, longest: 9 });
  });

  test('a label unseen in training is an error that names the line', () => {
    const { labels } = new ClassificationDataset(rows, { tokenizer: bytes, blockSize: 32 });
    const dev = readRows('x\t1\ny\t2\nz\tmaybe\n', { format: 'tsv', name: 'dev.tsv', columns: ['text', 'label'] });
    expect(failure(() => new ClassificationDataset(dev, { tokenizer: bytes, blockSize: 32, labels }))).toBe(
      'INVALID_DATA: dev.tsv:2:3: labels must be among those seen in training (["0", "1"]), got "2" (and 1 more row with errors)',
    );
    const few = new ClassificationDataset(dev.slice(0, 1), { tokenizer: bytes, blockSize: 32, labels });
    expect(Array.from(few.batch([0]).labels.data)).toEqual([1]);
    expect(failure(() => new ClassificationDataset(dev, { tokenizer: bytes, blockSize: 32, labels: ['1', '1'] }))).toMatch(
      /^INVALID_OPTION/,
    );
  });

  test('labels are sorted as numbers where all are, and may be integers and truth values', () => {
    const labelsOf = (...labels: unknown[]) =>
      new ClassificationDataset(
        labels.map((label) => ({ text: 'a', label })),
        { tokenizer: bytes, blockSize: 4 },
      ).labels;
    expect(labelsOf(10, 9, '-1')).toEqual(['-1', '9', '10']);
    expect(labelsOf('10', '9', 'b')).toEqual(['10', '9', 'b']);
    expect(labelsOf(true, false)).toEqual(['false', 'true']);
    expect(failure(() => labelsOf('a', 1.5, null, ''))).toBe(
      'INVALID_DATA: row 2: "label" must be a text, an integer, true or false, got 1.5 (and 2 more rows with errors)',
    );
  });

  test('a text that is too long is left out, cut at its end, or an error; an empty one is left out', () => {
    const list = [
      { text: 'abcdef', label: 'x' },
      { text: 'ab', label: 'y' },
      { text: '', label: 'y' },
    ];
    const skip = new ClassificationDataset(list, { tokenizer: bytes, blockSize: 4 });
    expect(skip.report).toMatchObject({ rows: 3, kept: 1, tooLong: 1, empty: 1, longest: 6, firstTooLong: 'row 1' });
    const cut = new ClassificationDataset(list, { tokenizer: bytes, blockSize: 4, overflow: 'truncate' });
    expect(cut.report).toMatchObject({ kept: 2, truncated: 1, tooLong: 0 });
    expect(row(cut.batch([0]).inputIds.data, 0, 4)).toEqual(codes('abcd'));
    expect(failure(() => new ClassificationDataset(list, { tokenizer: bytes, blockSize: 4, overflow: 'error' }))).toBe(
      'INVALID_DATA: row 1: ClassificationDataset: a text must have at most 4 tokens, got 6',
    );
  });

  test('a template of fields and a prefix decide what is read', () => {
    const list = [{ premise: 'it rains', hypothesis: 'it is wet', label: 'yes' }];
    const dataset = new ClassificationDataset(list, {
      tokenizer: bytes,
      blockSize: 64,
      template: '{premise} | {hypothesis}',
      taskPrefix: 'nli: ',
    });
    expect(row(dataset.batch([0]).inputIds.data, 0, 25)).toEqual(codes('nli: it rains | it is wet'));
  });

  test('the hash covers labels and settings', async () => {
    const make = (options: object = {}, list = rows) =>
      new ClassificationDataset(list, { tokenizer: bytes, blockSize: 32, ...options }).hash();
    const hashes = await Promise.all([
      make(),
      make({ blockSize: 31 }),
      make({ labels: ['1', '0'] }),
      make({ groupByLength: true }),
      make({}, rows.slice(1)),
      make({ taskPrefix: 'x' }),
    ]);
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(await make()).toBe(hashes[0]);
  });
});

describe('Seq2SeqDataset', () => {
  const [source, target] = [CharTokenizer.fromText('abc '), CharTokenizer.fromText('xyz')];
  const options = { tokenizer: source, targetTokenizer: target, bosId: 3, eosId: 4 };

  test('the decoder reads bosId and the target, and learns the target and eosId', () => {
    const dataset = new Seq2SeqDataset(
      [
        { source: 'ab', target: 'xyz' },
        { source: 'c a b c a b', target: 'z' },
      ],
      options,
    );
    const { inputIds, inputMask, decoderInputIds, labels, ...rest } = dataset.batch([0, 1]);
    expect(rest).toEqual({});
    expect([inputIds.shape, inputMask.shape, decoderInputIds.shape, labels.shape]).toEqual([
      [2, 16],
      [2, 16],
      [2, 8],
      [2, 8],
    ]);
    expect(row(inputIds.data, 0, 16)).toEqual([1, 2, ...new Array(14).fill(0)]);
    expect(row(inputMask.data, 0, 16)).toEqual([1, 1, ...new Array(14).fill(0)]);
    expect(row(inputMask.data, 1, 16)).toEqual([...new Array(11).fill(1), ...new Array(5).fill(0)]);
    expect(row(decoderInputIds.data, 0, 8)).toEqual([3, 0, 1, 2, 0, 0, 0, 0]);
    expect(row(labels.data, 0, 8)).toEqual([0, 1, 2, 4, -100, -100, -100, -100]);
    expect(row(decoderInputIds.data, 1, 8)).toEqual([3, 2, 0, 0, 0, 0, 0, 0]);
    expect(row(labels.data, 1, 8)).toEqual([2, 4, -100, -100, -100, -100, -100, -100]);
    expect(dataset.report).toMatchObject({ rows: 2, kept: 2, tokens: 13 + 6, countedTokens: 6 });
    expect(Array.from(dataset.sourceIds({ source: 'ab' }))).toEqual([1, 2]);
  });

  test('a target is never cut; a source is where it is asked for', () => {
    const list = [
      { source: 'abcabc', target: 'x' },
      { source: 'a', target: 'xyzx' },
      { source: '', target: 'x' },
      { source: 'a', target: '' },
    ];
    const most = { ...options, maxSourceLength: 4, maxTargetLength: 4 };
    expect(failure(() => new Seq2SeqDataset(list, most))).toBe(
      'EMPTY_DATA: Seq2SeqDataset: at least one row must be kept, got 4 rows, of which 2 are empty and 2 too long (longest: 6 tokens)',
    );
    const cut = new Seq2SeqDataset(list, { ...most, overflow: 'truncate' });
    expect(cut.report).toMatchObject({ rows: 4, kept: 1, truncated: 1, tooLong: 1, empty: 2, firstTooLong: 'row 2' });
    expect(row(cut.batch([0]).inputIds.data, 0, 4)).toEqual([1, 2, 3, 1]);
    expect(failure(() => new Seq2SeqDataset(list, { ...most, overflow: 'error' }))).toMatch(
      /^INVALID_DATA: row 1: .*at most 4 tokens, got 6/,
    );
    // A target of exactly maxTargetLength tokens, its end counted, fits.
    expect(new Seq2SeqDataset([{ source: 'a', target: 'xyz' }], most).batch([0]).labels.shape).toEqual([1, 4]);
  });

  test('other shapes, a prefix, and tokenizers without the ids', () => {
    const dataset = new Seq2SeqDataset([{ passage: 'a b', question: 'c', answer: 'xy' }], {
      ...options,
      tokenizer: bytes,
      taskPrefix: 'qa ',
    });
    expect(row(dataset.batch([0]).inputIds.data, 0, 8)).toEqual([...codes('qa a b\nc')]);
    expect(
      failure(() => new Seq2SeqDataset([{ source: 'a', target: 'x' }], { tokenizer: source, targetTokenizer: target, bosId: 3 })),
    ).toMatch(/^INVALID_OPTION: Seq2SeqDataset: "eosId" must be given/);
    expect(failure(() => new Seq2SeqDataset([{ source: 'a' }, { source: 'd', target: 'x' }], options))).toMatch(
      /^UNKNOWN_CHARACTER: row 2: .*"d" \(U\+0064\)/,
    );
    expect(failure(() => new Seq2SeqDataset([{ source: 'a' }], options))).toMatch(
      /^INVALID_DATA: row 1: a row must have prompt and completion, /,
    );
  });

  test('hashes', async () => {
    const list = [
      { source: 'ab', target: 'xy' },
      { source: 'a', target: 'bx'.replace('b', 'y') },
    ];
    const make = (rest: object = {}, rows = list) => new Seq2SeqDataset(rows, { ...options, ...rest }).hash();
    const hashes = await Promise.all([
      make(),
      make({ bosId: 5 }),
      make({ maxSourceLength: 9 }),
      make({ groupByLength: true }),
      make({}, [...list].reverse()),
    ]);
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(await make()).toBe(hashes[0]);
  });
});

describe('PreferenceDataset', () => {
  const END = 256;
  const options = { tokenizer: bytes, blockSize: 32, endOfText: END };

  test('both texts with their labels, padded to one length; references once they are given', () => {
    const dataset = new PreferenceDataset([{ prompt: 'q', chosen: 'yes', rejected: 'no, not at all' }], options);
    const batch = dataset.batch([0]);
    expect(Object.keys(batch)).toEqual(['chosenIds', 'chosenLabels', 'rejectedIds', 'rejectedLabels']);
    for (const tensor of Object.values(batch)) expect(tensor.shape).toEqual([1, 16]);
    expect(row(batch.chosenIds.data, 0, 6)).toEqual([...codes('qyes'), 0, 0]);
    expect(row(batch.chosenLabels.data, 0, 6)).toEqual([...codes('yes'), END, -100, -100]);
    expect(row(batch.rejectedLabels.data, 0, 16)).toEqual([...codes('no, not at all'), END, -100]);
    expect(dataset.references).toBeNull();
    dataset.setReferences({ chosen: Float32Array.of(-1.5), rejected: Float32Array.of(-2.5) });
    const { chosenReference, rejectedReference } = dataset.batch([0, 0]);
    expect(chosenReference).toEqual({ data: Float32Array.of(-1.5, -1.5), shape: [2] });
    expect(rejectedReference).toEqual({ data: Float32Array.of(-2.5, -2.5), shape: [2] });
    for (const chosen of [Float32Array.of(1, 2), Float32Array.of(Number.NaN), [1]]) {
      expect(failure(() => dataset.setReferences({ chosen: chosen as Float32Array, rejected: Float32Array.of(1) }))).toMatch(
        /^INVALID_OPTION/,
      );
    }
  });

  test('a row is kept or left out as a whole', () => {
    const list = [
      { prompt: 'q', chosen: 'a', rejected: 'b'.repeat(40) },
      { prompt: 'q'.repeat(40), chosen: 'a', rejected: 'b' },
      { prompt: 'q', chosen: 'a', rejected: 'b' },
    ];
    expect(new PreferenceDataset(list, options).report).toMatchObject({ rows: 3, kept: 1, tooLong: 2, longest: 42, firstTooLong: 'row 1' });
    expect(new PreferenceDataset(list, { ...options, overflow: 'truncate' }).report).toMatchObject({ kept: 2, tooLong: 1, truncated: 1 });
  });

  test('conversations: only the last turn is learned', async () => {
    const bpe = await BpeTokenizer.train('hello there user assistant', {
      vocabSize: 259,
      specialTokens: ['<|im_start|>', '<|im_end|>', '<|endoftext|>'],
    });
    const turn = (role: string, content: string) => ({ role, content });
    const before = [turn('user', 'a'), turn('assistant', 'b'), turn('user', 'c')];
    const whole = { chosen: [...before, turn('assistant', 'd')], rejected: [...before, turn('assistant', 'e')] };
    const parted = { prompt: before, chosen: [turn('assistant', 'd')], rejected: [turn('assistant', 'e')] };
    const dataset = new PreferenceDataset([whole, parted], { tokenizer: bpe, blockSize: 128, template: 'chatml' });
    const { chosenIds, chosenLabels, rejectedLabels } = dataset.batch([0, 1]);
    const learnt = (data: ArrayLike<number>, b: number) => row(data, b, chosenIds.shape[1]).filter((id) => id !== -100);
    for (const b of [0, 1]) {
      expect(learnt(chosenLabels.data, b)).toEqual([...bpe.encode('d'), bpe.tokenId('<|im_end|>')]);
      expect(learnt(rejectedLabels.data, b)).toEqual([...bpe.encode('e'), bpe.tokenId('<|im_end|>')]);
      // What generation starts from is what stands before the first token that is learned.
      const prompt = Array.from(dataset.template.promptIds(dataset.promptRow(b === 0 ? whole : parted), bpe));
      expect(row(chosenIds.data, b, chosenIds.shape[1]).slice(0, prompt.length)).toEqual(prompt);
      expect(chosenLabels.data[b * chosenIds.shape[1] + prompt.length - 1]).toBe(bpe.encode('d')[0]);
    }
    expect(row(chosenIds.data, 0, chosenIds.shape[1])).toEqual(row(chosenIds.data, 1, chosenIds.shape[1]));
    expect(
      failure(() => new PreferenceDataset([{ chosen: before, rejected: before }], { tokenizer: bpe, blockSize: 128, template: 'chatml' })),
    ).toBe('INVALID_DATA: row 1: "chosen" must end with a message of the assistant, got "user"');
  });

  test('values of the wrong kind name their place', () => {
    const list = readRows('{"prompt":"a","chosen":"b","rejected":3}\n', { format: 'jsonl', name: 'p.jsonl' });
    expect(failure(() => new PreferenceDataset(list, options))).toBe('INVALID_DATA: p.jsonl:1:39: "rejected" must be a text, got 3');
  });
});
