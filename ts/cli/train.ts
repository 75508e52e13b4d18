// `ferroformer train`: a new run, a fine-tune of a saved model, or a run that goes on.

import type { Command } from 'commander';
import { FerroError } from '../errors';
import { type Engine, GPT, type GPTOptions } from '../index';
import { COMMAND_OPTIONS, GPT_CONFIG_OPTIONS, type OptionValues, readOptions, TRAINING_OPTIONS } from '../options';
import { chooseTokenizer, loadData, type RunData } from './data';
import { addFlags, flagName, pickGiven, readCommandOptions, required } from './flags';
import { Output } from './output';
import { readRunJson } from './runFiles';
import { noteUnexpected, withEngine } from './session';
import { runTraining } from './training';

const NAMES = COMMAND_OPTIONS.train;

/** The checked options of the command. */
export type TrainValues = OptionValues<(typeof NAMES)[number]>;
type Given = Partial<TrainValues>;

const DEFAULT_PRESET = 'gpt-micro';
const PROMPT_TOKENS = 16;

/** Adds the command. */
export function addTrain(program: Command, finish: (code: number) => void): void {
  const command = program.command('train').description('train a GPT on text files, or fine-tune a saved one');
  addFlags(command, NAMES).action(async (parsed) => {
    const read = await readCommandOptions('train', parsed, NAMES);
    const { values, given } = read.values.resume ? await withStoredOptions(read) : read;
    const output = new Output(values.json);
    finish(await withEngine(values, output, (engine) => train(engine, output, values, given)));
  });
}

/** A resumed run starts from the options in its run.json; flags win. */
async function withStoredOptions(read: { values: TrainValues; given: Given }): Promise<{ values: TrainValues; given: Given }> {
  const { outputDir } = read.values;
  const stored = outputDir === undefined ? undefined : (await readRunJson(outputDir))?.options;
  if (typeof stored !== 'object' || stored === null) return read;
  const style = { label: flagName } as const;
  const before = readOptions('train (run.json)', stored, NAMES, { ...style, defaults: false }) as Given;
  const given = { ...before, ...read.given };
  return { values: readOptions('train', given, NAMES, style) as TrainValues, given };
}

async function train(engine: Engine, output: Output, values: TrainValues, given: Given): Promise<number> {
  const data = required('train', values.data, 'data');
  const outputDir = required('train', values.outputDir, 'out');
  const { model, runData } = await (values.initFrom === undefined
    ? create(engine, values, given, data)
    : load(engine, output, values, given, data));
  const ids = runData.dataset.toIds(0, Math.min(PROMPT_TOKENS, runData.dataset.length));
  const { outputDir: _, ...training } = pickGiven(given, TRAINING_OPTIONS);
  const { overwrite, resume, ...kept } = given;
  return runTraining({
    output,
    engine,
    model,
    data: runData,
    training,
    outputDir,
    given: kept,
    samplePrompt: firstWords(runData.tokenizer.decode(ids)),
  });
}

async function create(
  engine: Engine,
  values: TrainValues,
  given: Given,
  data: readonly string[],
): Promise<{ model: GPT; runData: RunData }> {
  const tokenizer = await chooseTokenizer(values.tokenizerName ?? 'char', data, { vocabSize: values.vocabSize });
  const runData = await loadData({ ...values, data }, tokenizer);
  const { nLayer, nHead, nEmbd, blockSize } = values;
  const whole = nLayer !== undefined && nHead !== undefined && nEmbd !== undefined;
  const preset = values.preset ?? (whole && blockSize !== undefined ? undefined : DEFAULT_PRESET);
  const options = pickGiven(given, GPT_CONFIG_OPTIONS);
  const model = await GPT.create(engine, { ...options, preset, tokenizer, seed: values.seed } as GPTOptions);
  return { model, runData };
}

/** A saved model brings its own architecture and tokenizer: flags about them are refused. */
async function load(
  engine: Engine,
  output: Output,
  values: TrainValues,
  given: Given,
  data: readonly string[],
): Promise<{ model: GPT; runData: RunData }> {
  for (const name of [...GPT_CONFIG_OPTIONS, 'tokenizerName'] as const) {
    if (name in given && name !== 'dropout') {
      throw new FerroError(
        'INVALID_OPTION',
        `train: "${name}" must not be given with --init-from, whose model decides it, got ${JSON.stringify(given[name])}`,
      );
    }
  }
  const model = await GPT.fromPretrained(engine, values.initFrom!, given.dropout === undefined ? {} : { dropout: given.dropout });
  noteUnexpected(output, model);
  if (model.tokenizer === null)
    throw new FerroError('INVALID_TOKENIZER', `train: "--init-from" must hold a tokenizer, got none in ${JSON.stringify(values.initFrom)}`);
  return { model, runData: await loadData({ ...values, data }, model.tokenizer) };
}

/** The text up to its last whole word, so that a sample goes on from a natural place. */
export function firstWords(text: string): string {
  const line = text.trimStart().split('\n')[0];
  const cut = line.lastIndexOf(' ');
  return cut > 0 ? line.slice(0, cut + 1) : line;
}
