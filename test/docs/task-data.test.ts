// docs/task-data.md, run (types.test.ts checks its types): its blocks of code, top to bottom, are one program, and what it says in comments is so.
import { expect, it } from 'vitest';
import { pageBlocks, runPage } from '../support/page';

const REPORT = `
console.log('RESULT ' + JSON.stringify({
  place, reviews: reviews.map((row) => row.fields), sources: [train, validation].map((side) => side.map((row) => row.get('source'))), words: words[0].fields,
  shape: inputIds.shape, learned, prompt: tokenizer.decode(prompt), report: { rows, kept, tooLong, longest }, packed: packed.length,
  starts: Array.from(starts.data), positions: Array.from(positions.data), classes, counts,
  again: new ClassificationDataset(reviews, same).length, translation: Array.from(translation.batch([0]).decoderInputIds.data).slice(0, 3),
}));`;

it('docs/task-data.md runs as it stands', async () => {
  const program = `${(await pageBlocks('task-data')).join('\n')}${REPORT}`;
  const result = JSON.parse(/^RESULT (.*)$/m.exec(await runPage(program))![1]);
  expect(result).toMatchObject({
    place: 'sums.jsonl:2:31',
    reviews: [
      { text: 'good fun', label: '1' },
      { text: 'a bore', label: '0' },
    ],
    words: { source: 'cold', target: 'froid' },
    shape: [1, 16],
    learned: '4\n',
    prompt: 'Q: 1+1=\nA:',
    report: { rows: 2, kept: 2, tooLong: 0, longest: 12 },
    packed: 1,
    classes: ['0', '1'],
    counts: [1, 1],
    again: 2,
  });
  const [train, validation] = result.sources as string[][];
  for (const source of train) expect(validation).not.toContain(source);
  expect([...train, ...validation].sort()).toEqual(['cold', 'cold', 'warm']);
  expect(result.starts.slice(0, 23)).toEqual([...new Array(11).fill(0), ...new Array(11).fill(11), 22]);
  expect(result.positions.slice(0, 22)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(result.translation[0]).toBe(27);
});
