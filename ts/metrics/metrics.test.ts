// The metrics against the numbers of the libraries that the field uses (test/golden/metrics.py: sacreBLEU, rouge-score, torchmetrics' SQuAD metric, nltk, scikit-learn).
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FerroError } from '../errors';
import { answerScores, bleu, chrf, classificationScores, editDistance, errorRate, ROUGE_TYPES, rouge, textScores } from './index';
import { words } from './words';

interface Corpus {
  indices: number[];
  others: number;
  bleu: Record<string, Record<string, number | number[] | string>>;
  chrf: Record<string, { score: number; name: string; signature: string }>;
  rouge: Record<string, Record<string, number>>;
  answers: { exactMatch: number; f1: number };
  word: { edits: number; length: number };
  character: { edits: number; length: number };
}

interface Single {
  bleu: number;
  sentence: number;
  chrf: number;
  'chrf++': number;
  rouge: number[];
  exact: number;
  f1: number;
  words: number;
  characters: number;
}

interface Golden {
  script: string;
  scriptSha256: string;
  pairs: [string, string][];
  singles: Single[];
  corpora: Corpus[];
  labels: {
    labels: string[];
    predictions: number[];
    references: number[];
    accuracy: number;
    confusion: number[][];
    macro: number[];
    micro: number[];
    weighted: number[];
    each: number[][];
  }[];
}

const golden = JSON.parse(readFileSync(new URL('../../test/golden/metrics.json', import.meta.url), 'utf8')) as Golden;

/** The bound on scores. */
const TOLERANCE = 1e-6;

/** Places at which numbers are further apart than the tolerance, all of them. */
function expectClose(found: { where: string; got: number; wanted: number }[]): void {
  const wrong = found.filter(({ got, wanted }) => !(Math.abs(got - wanted) <= TOLERANCE));
  expect(wrong).toEqual([]);
}

const BLEUS: Record<string, Parameters<typeof bleu>[2]> = {
  '13a': {},
  char: { tokenize: 'char' },
  none: { tokenize: 'none' },
  lowercase: { lowercase: true },
  unsmoothed: { smooth: 'none' },
  sentence: { effectiveOrder: true },
};
const CHRFS: Record<string, Parameters<typeof chrf>[2]> = {
  chrf: {},
  'chrf++': { wordOrder: 2 },
  'chrf+ beta 1': { wordOrder: 1, beta: 1 },
  whitespace: { whitespace: true },
  lowercase: { lowercase: true, charOrder: 4 },
};

const unversioned = (signature: string): string => signature.replace(/\|version:.*/, '');

it('the goldens are those of their script', () => {
  const source = readFileSync(new URL(`../../test/golden/${golden.script}`, import.meta.url), 'utf8').replaceAll('\r\n', '\n');
  expect(createHash('sha256').update(source).digest('hex'), `run ${golden.script} again`).toBe(golden.scriptSha256);
});

describe('metrics of texts equal the libraries', () => {
  it(`on each of ${golden.pairs.length} pairs alone`, () => {
    const found = golden.pairs.flatMap(([prediction, reference], i) => {
      const wanted = golden.singles[i];
      const rouges = rouge([prediction], [reference]);
      const answers = answerScores([prediction], [reference]);
      const got: [string, number, number][] = [
        ['bleu', bleu([prediction], [reference]).score, wanted.bleu],
        ['sentence bleu', bleu([prediction], [reference], { effectiveOrder: true }).score, wanted.sentence],
        ['chrf', chrf([prediction], [reference]).score, wanted.chrf],
        ['chrf++', chrf([prediction], [reference], { wordOrder: 2 }).score, wanted['chrf++']],
        ...ROUGE_TYPES.map((type, j): [string, number, number] => [type, rouges[type].fmeasure, wanted.rouge[j]]),
        ['exact match', answers.exactMatch, wanted.exact],
        ['token f1', answers.f1, wanted.f1],
        ['words', editDistance(words(prediction), words(reference)), wanted.words],
        ['characters', editDistance(Array.from(prediction), Array.from(reference)), wanted.characters],
      ];
      return got.map(([name, value, right]) => ({
        where: `${name} of ${JSON.stringify([prediction, reference])}`,
        got: value,
        wanted: right,
      }));
    });
    expect(found.length).toBeGreaterThan(4000);
    expectClose(found);
  });

  it.each(
    golden.corpora.map((corpus, i) => ({ corpus, name: `corpus ${i}: ${corpus.indices.length} texts, ${corpus.others + 1} references` })),
  )('$name', ({ corpus }) => {
    const predictions = corpus.indices.map((i) => golden.pairs[i][0]);
    const references = corpus.indices.map((i) => Array.from({ length: corpus.others + 1 }, (_, j) => golden.pairs[i + j][1]));
    const found: Parameters<typeof expectClose>[0] = [];
    for (const [name, { signature, ...wanted }] of Object.entries(corpus.bleu)) {
      const got = bleu(predictions, references, BLEUS[name]);
      expect(unversioned(got.signature)).toBe(signature);
      for (const [key, value] of Object.entries(wanted)) {
        const ours = [(got as unknown as Record<string, number | number[]>)[key]].flat();
        [value].flat().forEach((one, j) => {
          found.push({ where: `bleu ${name} ${key} ${j}`, got: ours[j], wanted: one as number });
        });
      }
    }
    for (const [name, wanted] of Object.entries(corpus.chrf)) {
      const got = chrf(predictions, references, CHRFS[name]);
      expect([got.name, unversioned(got.signature)]).toEqual([wanted.name, wanted.signature]);
      found.push({ where: name, got: got.score, wanted: wanted.score });
    }
    const rouges = rouge(predictions, references) as unknown as Record<string, Record<string, number>>;
    for (const [type, parts] of Object.entries(corpus.rouge)) {
      for (const [part, value] of Object.entries(parts)) found.push({ where: `${type} ${part}`, got: rouges[type][part], wanted: value });
    }
    const answers = answerScores(predictions, references);
    found.push({ where: 'exact match', got: answers.exactMatch, wanted: corpus.answers.exactMatch });
    found.push({ where: 'token f1', got: answers.f1, wanted: corpus.answers.f1 });
    for (const unit of ['word', 'character'] as const) {
      const { edits, length } = errorRate(predictions, references, { unit });
      expect({ edits, length }).toEqual(corpus[unit]);
    }
    expectClose(found);
  });
});

describe('scores of labels equal scikit-learn', () => {
  it.each(
    golden.labels.map((wanted, i) => ({ wanted, name: `case ${i}: ${wanted.labels.length} labels, ${wanted.references.length} examples` })),
  )('$name', ({ wanted }) => {
    const got = classificationScores(wanted.predictions, Int32Array.from(wanted.references), wanted.labels);
    expect(got.confusion).toEqual(wanted.confusion);
    const found = [{ where: 'accuracy', got: got.accuracy, wanted: wanted.accuracy }];
    for (const kind of ['macro', 'micro', 'weighted'] as const) {
      const { precision, recall, f1 } = got[kind];
      [precision, recall, f1].forEach((value, i) => {
        found.push({ where: `${kind} ${i}`, got: value, wanted: wanted[kind][i] });
      });
    }
    got.labels.forEach(({ precision, recall, f1, support }, i) => {
      [precision, recall, f1, support].forEach((value, j) => {
        found.push({ where: `label ${i} ${j}`, got: value, wanted: wanted.each[i][j] });
      });
    });
    expectClose(found);
    const second = got.labels[1];
    expect(got.binary).toEqual(wanted.labels.length === 2 ? { precision: second.precision, recall: second.recall, f1: second.f1 } : null);
  });

  it('takes the positive label by name', () => {
    const got = classificationScores([0, 1, 2, 0], [0, 1, 1, 2], ['a', 'b', 'c'], { positive: 'a' });
    expect(got.binary).toEqual({ precision: 0.5, recall: 1, f1: 2 / 3 });
  });
});

describe('metrics by name', () => {
  it('gives one flat record', () => {
    const scores = textScores(
      ['exact_match', 'f1', 'bleu', 'chrf', 'chrf++', 'rouge', 'wer', 'cer'],
      ['the cat sat', 'no'],
      ['The cat sat.', 'yes'],
    );
    expect(Object.keys(scores)).toEqual(
      'exactMatch f1 bleu chrf chrfPlusPlus rouge1 rouge2 rougeL rougeLsum wordErrorRate characterErrorRate signatures'.split(' '),
    );
    expect(scores).toMatchObject({ exactMatch: 0.5, f1: 0.5, rouge1: 0.5, wordErrorRate: 3 / 4, characterErrorRate: 5 / 15 });
    expect(scores.signatures?.bleu).toMatch(/^nrefs:1\|case:mixed\|eff:no\|tok:13a\|smooth:exp\|version:ferroformer-/);
  });
});

it('a long run of spaces within a text costs no more than other text', () => {
  const text = `a${' '.repeat(400_000)}b`;
  expect(bleu([`${text} \n`], [text], { effectiveOrder: true }).score).toBeCloseTo(100, 9);
});

describe('wrong input', () => {
  const code = (act: () => unknown): [string, string] => {
    try {
      act();
    } catch (error) {
      if (error instanceof FerroError) return [error.code, error.message];
    }
    return ['none', ''];
  };

  it.each([
    ['other numbers', () => bleu(['a'], ['a', 'b']), 'INVALID_OPTION', 'got 2 and 1'],
    ['nothing', () => chrf([], []), 'EMPTY_DATA', 'got nothing'],
    ['no reference', () => rouge(['a'], [[]]), 'INVALID_OPTION', 'at 0'],
    ['a number as text', () => errorRate([1 as unknown as string], ['a']), 'INVALID_OPTION', 'got 1'],
    ['an unknown tokenizer', () => bleu(['a'], ['a'], { tokenize: 'toString' as 'none' }), 'INVALID_OPTION', '"13a"'],
    ['no labels', () => classificationScores([], [], ['a']), 'EMPTY_DATA', 'got nothing'],
    ['other numbers of labels', () => classificationScores([0], [], ['a']), 'INVALID_OPTION', 'got 0 and 1'],
    ['a label too large', () => classificationScores([2], [0], ['a', 'b']), 'LABEL_OUT_OF_RANGE', 'got 2 at 0'],
    ['an unknown positive label', () => classificationScores([0], [0], ['a'], { positive: 'b' }), 'INVALID_OPTION', '"positive"'],
  ])('%s', (_, act, wanted, text) => {
    const [got, message] = code(act);
    expect(got).toBe(wanted);
    expect(message).toContain(text);
  });
});
