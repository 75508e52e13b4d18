// Flags and configuration files: spellings, values, precedence, refusals.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMAND_OPTIONS, OPTIONS } from '../options';
import { parseConfig } from './configFile';
import { addFlags, normaliseArguments, parseFlag, readCommandOptions } from './flags';

const NAMES = COMMAND_OPTIONS.train;

async function parse(argv: string[]) {
  const command = addFlags(new Command('train').exitOverride(), NAMES);
  command.parse(normaliseArguments(argv, NAMES), { from: 'user' });
  return readCommandOptions('train', command.opts(), NAMES);
}

describe('parseFlag', () => {
  it('reads numbers strictly', () => {
    const read = (text: string) => parseFlag(OPTIONS.learningRate, text);
    expect(['1e-3', '3', '.5', '-1', '1.'].map(read)).toEqual([1e-3, 3, 0.5, -1, 1]);
    expect(['1e', '', '0x10', '1 2', '12abc'].map(read)).toEqual(['1e', '', '0x10', '1 2', '12abc']);
    expect(read('NaN')).toBeNaN();
  });

  it('reads booleans and id lists', () => {
    expect(['true', 'false', 'yes'].map((text) => parseFlag(OPTIONS.bias, text))).toEqual([true, false, 'yes']);
    expect(parseFlag(OPTIONS.bias, true)).toBe(true);
    expect(['1,2,3', '7', '', '1,x'].map((text) => parseFlag(OPTIONS.promptIds, text))).toEqual([[1, 2, 3], [7], [], [1, 'x']]);
  });
});

describe('readCommandOptions', () => {
  let folder = '';
  const file = (name: string) => join(folder, name);
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ferro-flags-'));
    await writeFile(file('a.yaml'), 'learning_rate: 0.5\nmaxSteps: 7\nbias: false\ndata: [x.txt, y.txt]\n');
    await writeFile(file('run.json'), JSON.stringify({ version: 1, options: { max_steps: 9, output_dir: 'runs/a' } }));
    await writeFile(file('typo.yaml'), 'learning_rat: 1\n');
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('takes kebab-case, snake_case, camelCase, = and aliases', async () => {
    for (const argv of [
      ['--learning-rate', '0.25', '--out', 'o', '--bias', 'false'],
      ['--learning_rate=0.25', '--output-dir', 'o', '--bias=false'],
      ['--learningRate', '0.25', '--output_dir=o', '--bias', 'false'],
    ]) {
      const { values, given } = await parse(argv);
      expect(given).toEqual({ learningRate: 0.25, outputDir: 'o', bias: false });
      expect(values).toMatchObject({ learningRate: 0.25, batchSize: 12, resume: false });
    }
  });

  it('takes lists, switches without a value, and a value that looks like a flag of another command', async () => {
    const { given } = await parse(['--data', 'a.txt', 'b.txt', '--resume', '--seed', '3', '--tokenizer', '--top_k']);
    expect(given).toEqual({ data: ['a.txt', 'b.txt'], resume: true, seed: 3, tokenizerName: '--top_k' });
  });

  it('lets flags win over the file, and takes the options of a run.json', async () => {
    expect((await parse(['--config', file('a.yaml'), '--max-steps', '8'])).given).toEqual({
      config: file('a.yaml'),
      learningRate: 0.5,
      maxSteps: 8,
      bias: false,
      data: ['x.txt', 'y.txt'],
    });
    expect((await parse(['--config', file('run.json')])).given).toMatchObject({ maxSteps: 9, outputDir: 'runs/a' });
  });

  it('refuses wrong values naming the flag, wrong keys naming the file', async () => {
    await expect(parse(['--learning-rate', 'fast'])).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: 'train: "--learning-rate" must be 0 or a positive number, got "fast"',
    });
    await expect(parse(['--max-grad-norm', '-1'])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(parse(['--config', file('typo.yaml')])).rejects.toMatchObject({
      code: 'UNKNOWN_OPTION',
      message: expect.stringContaining('"--learning-rate"'),
    });
    await expect(parse(['--config', file('none.yaml')])).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });
});

describe('parseConfig', () => {
  it('refuses what is no mapping', () => {
    for (const text of ['- 1\n- 2\n', 'hello', '3', '{"a":', 'a: b: c']) {
      expect(() => parseConfig(text, 'x.yaml'), text).toThrowError(expect.objectContaining({ code: 'INVALID_FILE' }));
    }
    expect(parseConfig('', 'x.yaml')).toEqual({});
  });
});
