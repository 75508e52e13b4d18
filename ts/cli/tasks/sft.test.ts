// What ends a text of a fine-tuned model: what it has learned as an end, and what options add.
import { expect, test } from 'vitest';
import { Template } from '../../data';
import { CharTokenizer } from '../../tokenizers';
import { endOf } from './sft';

const model = { tokenizer: CharTokenizer.fromText('ab\n') } as unknown as Parameters<typeof endOf>[0];
const plain = new Template('plain');

test.each([
  ['a text and more', { endOfText: '\n' }, { stopStrings: ['b'] }, { stopStrings: ['\n', 'b'] }],
  ['an id and more', { endOfText: 2 }, { stopTokenIds: [1], stopStrings: ['b'] }, { stopTokenIds: [2, 1], stopStrings: ['b'] }],
  ['nothing learned', { endOfText: '' }, { stopStrings: ['b'] }, { stopStrings: ['b'] }],
  ['nothing added', { endOfText: '\n' }, {}, { stopStrings: ['\n'] }],
  ['neither', {}, {}, {}],
])('%s', (_name, learned, more, ends) => {
  expect(endOf(model, plain, { task: 'sft', ...learned } as Parameters<typeof endOf>[2], more)).toEqual(ends);
});
