// Rotary positions and the sliding window as a shell runs them: trained, planned, evaluated with strides, read and trained further with a longer context.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ferroformer, MACHINE, SMALL, TEXT } from './support';

let folder = '';
const ROTARY = ['--position-embedding', 'rotary', '--rope-theta', '500'];
const run = (...args: string[]) => ferroformer(args, folder);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ferro-cli-'));
  await writeFile(join(folder, 'text.txt'), TEXT);
  const { code, stderr } = await run('train', '--data', 'text.txt', '--out', 'run', '--max-steps', '20', ...ROTARY, ...SMALL);
  if (code !== 0) throw new Error(stderr);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a GPT with rotary positions on the command line', () => {
  it('run.json and the plan know them', async () => {
    const { model } = JSON.parse(await readFile(join(folder, 'run', 'run.json'), 'utf8'));
    expect(model).toMatchObject({ positionEmbedding: 'rotary', ropeTheta: 500, ropeScaling: null });
    const plan = JSON.parse((await run('plan', '--preset', 'gpt-nano', '--vocab-size', '65', ...ROTARY, '--json')).stdout);
    expect(plan.parameters.position_embedding).toBe(0);
  });

  it('eval --stride counts every token once, with more context, and at a longer one', async () => {
    const evaluate = async (...args: string[]) => {
      const { code, stdout, stderr } = await run('eval', '--model', 'run', '--data', 'text.txt', '--json', ...args, ...MACHINE);
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout);
    };
    const plain = await evaluate();
    const strided = await evaluate('--stride', '4');
    expect([plain.tokens, strided.tokens]).toEqual([TEXT.length - 1, TEXT.length - 1]);
    expect(strided.loss).not.toBe(plain.loss);
    const longer = await evaluate('--block-size', '64', '--rope-scaling', 'linear:2', '--stride', '32');
    expect(longer.tokens).toBe(TEXT.length - 1);
    expect(longer.loss).not.toBe(strided.loss);
    const wrong = await run('eval', '--model', 'run', '--data', 'text.txt', '--stride', '100000', ...MACHINE);
    expect([wrong.code, wrong.stderr.includes('stride must be at most the context length')]).toEqual([2, true]);
    expect((await run('eval', '--model', 'run', '--data', 'text.txt', '--rope-scaling', 'yarn:4', ...MACHINE)).stderr).toContain(
      'linear:FACTOR',
    );
  });

  it('generate and train --init-from take a longer context', async () => {
    const context = ['--block-size', '64', '--rope-scaling', 'linear:2'];
    const written = await run(
      'generate',
      '--model',
      'run',
      '--prompt',
      'the ',
      '--max-new-tokens',
      '60',
      '--seed',
      '3',
      ...context,
      ...MACHINE,
    );
    expect(written.code, written.stderr).toBe(0);
    const args = ['train', '--data', 'text.txt', '--init-from', 'run', '--out', 'longer', '--max-steps', '2', '--batch-size', '2'];
    const trained = await run(...args, ...context, ...MACHINE);
    expect(trained.code, trained.stderr).toBe(0);
    const { model } = JSON.parse(await readFile(join(folder, 'longer', 'run.json'), 'utf8'));
    expect(model).toMatchObject({ blockSize: 64, ropeScaling: { kind: 'linear', factor: 2 } });
  });
});
