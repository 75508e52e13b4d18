// The examples run as they are written, for a few steps.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const root = new URL('..', import.meta.url);
const node = (args: string[]) => promisify(execFile)(process.execPath, args, { cwd: root });

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

test('fine-tuning.mjs: tasks are learned by their tokens and by an adapter, which leaves the model as it was', async () => {
  const { stdout } = await node(['examples/node/fine-tuning.mjs', '200']);
  const shares = (when: string) =>
    Array.from(stdout.matchAll(new RegExp(`^${when}[^:]*: (\\w+) right ([\\d.]+)$`, 'gm')), ([, task, right]) => [task, Number(right)]);
  const after = shares('after');
  for (const [task, share] of shares('before')) expect(share, `${task} before`).toBeLessThan(0.5);
  for (const [task, share] of after) expect(share, `${task} after`).toBeGreaterThan(0.8);
  expect(shares('with an adapter')[0][1]).toBeGreaterThan(0.8);
  expect(shares('without it')).toEqual([['colour', 0], ...after]);
  expect(after).toHaveLength(2);
});
