// The examples run as they are written, for a few steps.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { makeText, scratch } from './support/training';

const root = new URL('..', import.meta.url);
const node = (args: string[]) => promisify(execFile)(process.execPath, args, { cwd: root });

test('novel.mjs trains on a file and saves the model', async () => {
  const folder = await scratch();
  await writeFile(`${folder}/text.txt`, makeText(5000));
  const { stdout } = await node(['examples/node/novel.mjs', `${folder}/text.txt`, `${folder}/model`, '20']);
  expect(stdout).toMatch(/step 20: loss \d/);
  expect(existsSync(`${folder}/model/model.safetensors`)).toBe(true);
});

test('own-module.mjs learns what follows what', async () => {
  const { stdout } = await node(['examples/node/own-module.mjs', '100']);
  expect(stdout).toContain('after "h" most often "e"');
});

test('transformer.mjs forecasts number sequences better than repeating the last point', async () => {
  const { stdout } = await node(['examples/node/transformer.mjs', '150']);
  const [, ours, last] = /ahead: ([\d.]+); of repeating the last point: ([\d.]+)/.exec(stdout)!.map(Number);
  expect(ours).toBeLessThan(0.3 * last);
});

test('attention.mjs finds fused attention, heads and positions equal to what they are written out', async () => {
  const { stdout } = await node(['examples/node/attention.mjs']);
  const numbers = Array.from(stdout.matchAll(/differ by ([\d.e+-]+)/g), ([, number]) => Number(number));
  expect(numbers).toHaveLength(3);
  for (const number of numbers) expect(number).toBeLessThan(1e-6);
  expect(Number(/with noise 0.01 by ([\d.]+)/.exec(stdout)![1])).toBeGreaterThan(0.01);
  expect(stdout).toMatch(/^1\.00$/m);
});
