// A misspelt option is refused by every function that takes options of its own, with the nearest name, before it does anything.
import { describe, expect, test } from 'vitest';
import { createSampler, readBabi, readRowFiles, readRows, splitExamples, Template, TextDataset } from '../data';
import { bleu, chrf, classificationScores, errorRate } from '../metrics';
import { BpeTokenizer, CharTokenizer } from '../tokenizers';
import { evaluateClassification } from './evaluateClassification';
import { evaluateLoss } from './evaluateLoss';
import { evaluateTexts } from './evaluateTexts';

const TOKENIZER = CharTokenizer.fromText('abc');
const data = TextDataset.fromText('abcabc', TOKENIZER);
const model = { bound: {}, labels: ['a', 'b'] } as never;

const CALLS: [string, string, (options: never) => unknown][] = [
  ['splitExamples', 'evalFraction', (options) => splitExamples([{ text: 'a' }], options)],
  ['readRows', 'format', (options) => readRows('{}', options)],
  ['readBabi', 'name', (options) => readBabi('1 a', options)],
  ['readRowFiles', 'columns', (options) => readRowFiles('missing.tsv', options)],
  ['template', 'taskPrefix', (options) => new Template('plain', options)],
  ['fromFiles', 'signal', (options) => TextDataset.fromFiles('missing.txt', TOKENIZER, options)],
  ['fromTokens', 'vocabSize', (options) => TextDataset.fromTokens([1], options)],
  ['split', 'evalFraction', (options) => data.split(options)],
  ['createSampler', 'blockSize', (options) => createSampler(data, options)],
  ['bleu', 'lowercase', (options) => bleu(['a'], ['a'], options)],
  ['chrf', 'wordOrder', (options) => chrf(['a'], ['a'], options)],
  ['errorRate', 'unit', (options) => errorRate(['a'], ['a'], options)],
  ['classificationScores', 'positive', (options) => classificationScores([0], [0], ['a', 'b'], options)],
  ['evaluateTexts', 'batchSize', (options) => evaluateTexts(model, [], options)],
  ['evaluateClassification', 'batchSize', (options) => evaluateClassification(model, data as never, options)],
  ['evaluateLoss', 'stride', (options) => evaluateLoss(model, data, options)],
  ['BpeTokenizer.train', 'pattern', (options) => BpeTokenizer.train('abc', options)],
];

describe('a misspelt option', () => {
  test.each(CALLS)('%s: %s', async (op, name, call) => {
    const wrong = `${name}s`;
    for (const [options, code, message] of [
      [{ [wrong]: 1 }, 'UNKNOWN_OPTION', `${op}: options must be known ones, got "${wrong}" (the nearest is "${name}")`],
      [['x'], 'INVALID_OPTION', `${op}: options must be an object`],
    ] as const) {
      const run = async () => call(options as never);
      await expect(run()).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    }
  });
});
