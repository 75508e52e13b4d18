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
import { BpeTokenizer } from '../tokenizers';
import { splitData } from './data';
import { addFlags, readCommandOptions } from './flags';
import { Output } from './output';
import { withEngine } from './session';
import { textRun } from './tasks/lm';
import { runTraining } from './training';

const NAMES = COMMAND_OPTIONS.demo;
// Over byte pairs the same two minutes of processor time give a better model than 2,200 steps over characters: 2.13 against 2.40 bits per byte (docs/log.md).
const DEFAULTS = { maxSteps: 1600, learningRate: 3e-3 } as const;
const VOCAB_SIZE = 2048;
const EVAL_FRACTION = 0.1;
// Evaluating all of the validation part takes three seconds, as long as 45 steps: few are enough to see the loss fall.
const EVALUATIONS = 4;
const PROMPT = 'Call me';

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
    // Not on the end of the text, which is kept for evaluation.
    const tokenizer = await BpeTokenizer.train(text.slice(0, Math.floor(text.length * (1 - EVAL_FRACTION))), { vocabSize: VOCAB_SIZE });
    const data = splitData(TextDataset.fromText(text, tokenizer), tokenizer, EVAL_FRACTION);
    const { seed, overwrite } = values;
    const model = await GPT.create(engine, { preset: 'gpt-micro', blockSize: 64, tokenizer, seed });
    const maxSteps = values.maxSteps ?? DEFAULTS.maxSteps;
    const evalSteps = Math.max(1, Math.floor(maxSteps / EVALUATIONS));
    const training = { maxSteps, learningRate: values.learningRate ?? DEFAULTS.learningRate, evalSteps, seed, overwrite };
    return runTraining({ output, engine, task: textRun(model, data, PROMPT), training, outputDir, given: { ...given, ...training } });
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
