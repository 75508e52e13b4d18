// `ferroformer eval`: how well a saved model does its task on the user's data.

import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { FerroError } from '../errors';
import type { TaskName } from '../io';
import { COMMAND_OPTIONS } from '../options';
import { addFlags, readCommandOptions, required } from './flags';
import { Output } from './output';
import { withEngine } from './session';
import { taskNamed } from './tasks';
import { refuseOthers } from './tasks/belongs';
import { taskOf } from './tasks/context';
import type { EvalValues, Measured } from './tasks/measured';

const NAMES = COMMAND_OPTIONS.eval;

/** Adds the command. */
export function addEval(program: Command): void {
  const command = program.command('eval').description("a saved model's loss and its task's scores on text files or rows of data");
  addFlags(command, NAMES).action(async (parsed) => {
    const { values, given } = await readCommandOptions('eval', parsed, NAMES);
    await evaluate(new Output(values.json), values, given);
  });
}

async function evaluate(output: Output, values: EvalValues, given: Partial<EvalValues>): Promise<void> {
  const source = required('eval', values.model, 'model');
  const data = required('eval', values.data, 'data');
  const description = await taskOf({ adapter: values.adapter, source });
  const task: TaskName = values.task ?? description?.task ?? 'lm';
  refuseOthers('eval', task, given);
  const measured = await withEngine(values, output, (engine) =>
    taskNamed(task).evaluate({ engine, output, values, given, source, data, description }),
  );
  output.result(measured.result, measured.text); // before anything that can fail
  if (values.predictions !== undefined) await savePredictions(values.predictions, measured);
}

/** Writes the predictions, one JSON object per line. @throws FILE_ERROR */
async function savePredictions(path: string, { predictions = [] }: Measured): Promise<void> {
  const lines = predictions.map((one) => `${JSON.stringify(one)}\n`).join('');
  await writeFile(path, lines).catch((cause: unknown) => {
    throw new FerroError('FILE_ERROR', `eval: "--predictions" must be a file that can be written, got ${JSON.stringify(path)}`, { cause });
  });
}
