// `ferroformer demo`: trains a small GPT on Moby-Dick, which ships with the package. What `npm run quickstart` runs.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import type { Command } from 'commander';
import { TextDataset } from '../data';
import { FerroError } from '../errors';
import { GPT } from '../index';
import { COMMAND_OPTIONS, type OptionValues } from '../options';
import { CharTokenizer } from '../tokenizers';
import { splitData } from './data';
import { addFlags, readCommandOptions } from './flags';
import { Output } from './output';
import { withEngine } from './session';
import { runTraining } from './training';

const NAMES = COMMAND_OPTIONS.demo;
const DEFAULTS = { maxSteps: 2200, learningRate: 3e-3 } as const;
// Evaluating all of the validation part takes three seconds, as long as 45 steps: few are enough to see the loss fall.
const EVALUATIONS = 4;
const PROMPT = 'Call me ';

/** Adds the command. */
export function addDemo(program: Command, finish: (code: number) => void): void {
  const command = program.command('demo').description('train a small GPT on Moby-Dick, two to three minutes');
  addFlags(command, NAMES).action(async (parsed) => {
    const { values, given } = await readCommandOptions('demo', parsed, NAMES);
    finish(await demo(new Output(values.json), values, given));
  });
}

async function demo(output: Output, values: OptionValues<(typeof NAMES)[number]>, given: object): Promise<number> {
  const text = await shippedText();
  const outputDir = values.outputDir ?? freshFolder('runs/moby-dick');
  return withEngine(values, output, async (engine) => {
    const tokenizer = CharTokenizer.fromText(text);
    const data = splitData(TextDataset.fromText(text, tokenizer), tokenizer, 0.1);
    const { seed, overwrite } = values;
    const model = await GPT.create(engine, { preset: 'gpt-micro', blockSize: 64, tokenizer, seed });
    const maxSteps = values.maxSteps ?? DEFAULTS.maxSteps;
    const evalSteps = Math.max(1, Math.floor(maxSteps / EVALUATIONS));
    const training = { maxSteps, learningRate: values.learningRate ?? DEFAULTS.learningRate, evalSteps, seed, overwrite };
    return runTraining({ output, engine, model, data, training, outputDir, given: { ...given, ...training }, samplePrompt: PROMPT });
  });
}

async function shippedText(): Promise<string> {
  const url = new URL('./moby-dick.txt.br', import.meta.url);
  const packed = await readFile(url).catch((cause: unknown) => {
    throw new FerroError('FILE_NOT_FOUND', 'demo: the text must be beside the command line (npm run build puts it there), got none', {
      cause,
    });
  });
  return (await promisify(brotliDecompress)(packed)).toString('utf8');
}

/** `base`, or `base-2`, `base-3` … : the first that does not exist. */
export function freshFolder(base: string, exists: (path: string) => boolean = existsSync): string {
  for (let n = 1; ; n++) {
    const path = join(n === 1 ? base : `${base}-${n}`);
    if (!exists(path)) return path;
  }
}
