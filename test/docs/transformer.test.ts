// docs/transformer.md, run (types.test.ts checks its types): its blocks of code, top to bottom, are one program.
import { expect, it } from 'vitest';
import { pageBlocks, runPage } from '../support/page';

/** Before the engine ends: the whole target at once, with the same weights. */
const REPORT = `
const all = await model.evaluate(
  'whole',
  ({ src, tgt, keep }) => ({ y: model.module.forward(src, tgt, { srcKeyMask: keep, memoryKeyMask: keep, causal: true }) }),
  { src, tgt, keep },
);
console.log('RESULT ' + JSON.stringify({ shape, loss, rows: rows.map((row) => Array.from(row)), all: Array.from(all.y.data) }));
await engine.close();`;

it('docs/transformer.md runs as it stands: the cached rows are those of the whole', async () => {
  const program = (await pageBlocks('transformer')).join('\n').replace(/await engine\.close\(\);\s*$/, REPORT);
  const { shape, loss, rows, all } = JSON.parse(/^RESULT (.*)$/m.exec(await runPage(program))![1]);
  expect(shape).toEqual([2, 3, 16]);
  expect(loss).toBeGreaterThan(0);
  expect(rows).toHaveLength(3);
  for (let t = 0; t < 3; t++) {
    for (let i = 0; i < 32; i++) {
      const want = all[(Math.floor(i / 16) * 3 + t) * 16 + (i % 16)];
      expect(Math.abs(rows[t][i] - want), `position ${t}, ${i}`).toBeLessThan(1e-6);
    }
  }
});
