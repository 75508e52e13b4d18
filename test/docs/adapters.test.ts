// docs/adapters.md, run (types.test.ts checks its types): its blocks of code, top to bottom, are one program.
import { expect, it } from 'vitest';
import { pageBlocks, runPage } from '../support/page';

const REPORT = `
console.log('RESULT ' + JSON.stringify({ first, last, same: before === after, size: adapter.size, loud, calm, names: [...model.adapters.keys()], margins, polite, merged }));
await engine.close();`;

it('docs/adapters.md runs as it stands and does what it says', async () => {
  const program = (await pageBlocks('adapters')).join('\n').replace(/await engine\.close\(\);\s*$/, REPORT);
  const told = JSON.parse(/^RESULT (.*)$/m.exec(await runPage(program))![1]);
  expect(told.last).toBeLessThan(told.first - 0.5);
  expect(told.same).toBe(true);
  expect(told.size).toBe(2 * 4 * (32 + 96 + 32 + 32 + 32 + 128 + 128 + 32));
  expect(told.loud).not.toBe(told.calm);
  expect(told.names).toEqual(['loud', 'copy']); // 'polite' is in the weights
  expect(told.margins[0]).toBeCloseTo(0, 5);
  expect(told.margins.at(-1)).toBeGreaterThan(0.3);
  expect(told.merged).toBe(told.polite);
});
