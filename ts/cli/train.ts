// `ferroformer train`: a new run, a fine-tune of a saved model, or a run that goes on.

import type { Command } from 'commander';
import { FerroError } from '../errors';
import type { Engine } from '../index';
import { COMMAND_OPTIONS, OPTIONS, type OptionValues, readOptions, TRAINING_OPTIONS } from '../options';
import { addFlags, flagName, pickGiven, readCommandOptions, required } from './flags';
import { Output } from './output';
import { readRunJson } from './runFiles';
import { withEngine } from './session';
import { taskNamed } from './tasks';
import { refuseOthers } from './tasks/belongs';
import { taskOf } from './tasks/context';
import { runTraining } from './training';

const NAMES = COMMAND_OPTIONS.train;

/** The checked options of the command. */
export type TrainValues = OptionValues<(typeof NAMES)[number]>;
type Given = Partial<TrainValues>;

/** Adds the command. */
export function addTrain(program: Command, finish: (code: number) => void): void {
  const command = program.command('train').description('train a model on text files or on rows of a task, or fine-tune a saved one');
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
  const name = values.task ?? 'lm';
  refuseOthers('train', name, given);
  for (const needy of ['quantize', 'adapter'] as const) {
    if (values[needy] !== undefined && values.initFrom === undefined)
      throw new FerroError('INVALID_OPTION', `train: "--${OPTIONS[needy].flag}" needs "--init-from", a saved model, got none`);
  }
  const before = await taskOf({ adapter: values.adapter, source: values.initFrom });
  const task = await taskNamed(name).train({ engine, output, values, given, data, before });
  const { outputDir: _, ...training } = pickGiven(given, TRAINING_OPTIONS);
  const { overwrite, resume, ...kept } = given;
  return runTraining({ output, engine, task, training, outputDir, given: kept });
}
