// `ferroformer export`: a saved model in another form, for transformers or for llama.cpp. Needs no engine.

import type { Command } from 'commander';
import { type ExportOptions, exportModel } from '../api/export';
import { COMMAND_OPTIONS, type OptionValues } from '../options';
import { addFlags, readCommandOptions, required } from './flags';
import { formatBytes, formatCount } from './format';
import { Output } from './output';

const NAMES = COMMAND_OPTIONS.export;

/** Adds the command. */
export function addExport(program: Command): void {
  const command = program.command('export').description("write a saved model as a clean Hugging Face folder or as llama.cpp's GGUF");
  addFlags(command, NAMES).action(async (parsed) => {
    const { values, given } = await readCommandOptions('export', parsed, NAMES);
    await run(new Output(values.json), values, given.dtype);
  });
}

async function run(output: Output, values: OptionValues<(typeof NAMES)[number]>, dtype: ExportOptions['dtype']): Promise<void> {
  const { format, maxShardSize, mergeAdapter, quantize } = values;
  const model = required('export', values.model, 'model');
  const path = required('export', values.outputDir, 'out');
  const { parameters, bytes } = await exportModel(model, path, { format, dtype, maxShardSize, mergeAdapter, quantize });
  output.result({ path, format, parameters, bytes }, `${path}: ${formatCount(parameters)} parameters, ${formatBytes(bytes)}`);
}
