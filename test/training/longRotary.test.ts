// scripts/long-rotary.mjs with a few steps: every context it compares gives a perplexity for both strides, and positions within the trained length are read as trained.
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { makeText, scratch } from '../support/training';

test('trained at 16, read at 64, by both strides', async () => {
  const folder = await scratch();
  const file = join(folder, 'text.txt');
  await writeFile(file, makeText(6000));
  const script = fileURLToPath(new URL('../../scripts/long-rotary.mjs', import.meta.url));
  const flags = { steps: 60, 'tune-steps': 3, length: 16, longer: 64, width: 32, 'eval-characters': 1000 };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const { stdout } = await promisify(execFile)(process.execPath, [script, file, ...args]);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({ factor: 4, 'read at 16': { tokens: 999 } });
  const short = report['read at 16'];
  // The text has 20 characters: something was learned; and the strides are not the same measure.
  for (const stride of ['stride 16', 'stride 8']) expect(short[stride]).toBeLessThan(10);
  expect(short['stride 8']).not.toBe(short['stride 16']);
  for (const context of ['as trained', 'larger base', 'linear', 'llama3']) {
    const { before, 'after 3 steps at 64': after } = report[`read at 64, ${context}`];
    for (const found of [before, after]) {
      expect(found.tokens).toBe(999);
      for (const stride of ['stride 64', 'stride 32']) expect(found[stride], `${context}, ${stride}`).toBeGreaterThan(1);
    }
    expect(after).not.toEqual(before);
  }
});
