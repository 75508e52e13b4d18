// docs/adding-a-layer.md, run (types.test.ts checks its types): its blocks of code, top to bottom, are one program.
import { beforeAll, describe, expect, it } from 'vitest';
import { pageBlocks, runPage } from '../support/page';

/** What the test looks at, printed at the end of the program. */
const REPORT = `
const numbers = (_: string, value: unknown) => (ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value);
console.log('RESULT ' + JSON.stringify({ before, losses, count, evalLoss, stillTheSame, hidden, y }, numbers));
`;

let code = '';
beforeAll(async () => {
  code = (await pageBlocks('adding-a-layer')).join('\n');
});

describe('docs/adding-a-layer.md', () => {
  it('runs as it stands and does what it says', async () => {
    const stdout = await runPage(code + REPORT);
    const result = JSON.parse(/^RESULT (.*)$/m.exec(stdout)![1]);
    expect(stdout).toContain('[ 2, 16 ] 32');
    expect(result.before).toEqual({ data: [expect.any(Number)], shape: [1, 1] });
    expect(result.losses).toHaveLength(150);
    expect(result.losses[149]).toBeLessThan(0.5 * result.losses[0]);
    expect(result.count).toBe(5);
    expect(result.evalLoss).toBeLessThan(0.5 * result.losses[0]);
    expect(result.stillTheSame).toBe(true);
    expect([result.hidden.shape, result.y.shape]).toEqual([
      [1, 16],
      [1, 1],
    ]);
    expect(result.hidden.data).toHaveLength(16);
  });
});
