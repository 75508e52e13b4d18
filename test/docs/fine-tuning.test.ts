// docs/fine-tuning.md, run (types.test.ts checks its types): its blocks of code, top to bottom, are one program, and what it says in comments is so.
import { expect, it } from 'vitest';
import { pageBlocks, runPage } from '../support/page';

const REPORT = `
console.log('RESULT ' + JSON.stringify({ label, probabilities, several: several.map((one) => one.label), names, ids, before, after, answer, parts: reviews.length }));`;

it('docs/fine-tuning.md runs as it stands', async () => {
  const result = JSON.parse(/^RESULT (.*)$/m.exec(await runPage(`${(await pageBlocks('fine-tuning')).join('\n')}${REPORT}`))![1]);
  expect(result).toMatchObject({ label: 'good', several: ['bad', 'good'], answer: 'wild', parts: 4 });
  expect(result.probabilities.good).toBeGreaterThan(0.9);
  expect(result.names[0]).toBe('<|task:opposite:0|>');
  expect(result.ids).toHaveLength(5);
  expect(result.after).toBeLessThan(result.before - 0.1);
});
