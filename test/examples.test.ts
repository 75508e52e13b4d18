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
