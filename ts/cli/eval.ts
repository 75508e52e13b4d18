// `ferroformer eval`: how well a saved model predicts a text.

import type { Command } from 'commander';
import { evalBatches, TextDataset } from '../data';
import { FerroError } from '../errors';
import { GPT } from '../index';
import { COMMAND_OPTIONS, type OptionValues } from '../options';
import { Evaluator } from '../train';
import { addFlags, readCommandOptions } from './flags';
import { formatCount } from './format';
import { Output } from './output';
import { withEngine } from './session';

const NAMES = COMMAND_OPTIONS.eval;

/** Adds the command. */
export function addEval(program: Command): void {
  const command = program.command('eval').description('loss, perplexity and bits per byte of a saved model on text files');
  addFlags(command, NAMES).action(async (parsed) => {
    const { values } = await readCommandOptions('eval', parsed, NAMES);
    await evaluate(new Output(values.json), values);
  });
}

async function evaluate(output: Output, values: OptionValues<(typeof NAMES)[number]>): Promise<void> {
  const { model: source, data } = values;
  if (source === undefined) throw new FerroError('INVALID_OPTION', 'eval: "--model" must be given, got none');
  if (data === undefined) throw new FerroError('INVALID_OPTION', 'eval: "--data" must be given, got none');
  await withEngine(values, output, async (engine) => {
    const model = await GPT.fromPretrained(engine, source);
    if (model.tokenizer === null)
      throw new FerroError('INVALID_TOKENIZER', `eval: the model must have a tokenizer, got none in ${JSON.stringify(source)}`);
    const dataset = await TextDataset.fromFiles(data, model.tokenizer);
    const { batchSize } = values;
    const batches = evalBatches(dataset, { blockSize: model.blockSize, batchSize });
    const { loss, perplexity, tokens } = await new Evaluator(model.bound, model.loss, batchSize).run(batches);
    // The first token is not predicted, so its bytes do not count.
    const bytes = dataset.countBytes(1);
    const bitsPerByte = (loss * tokens) / Math.LN2 / bytes;
    const text = `loss ${loss.toFixed(4)} nats per token, perplexity ${perplexity.toFixed(3)}, ${bitsPerByte.toFixed(4)} bits per byte, ${formatCount(tokens)} tokens`;
    output.result({ loss, perplexity, bitsPerByte, tokens, bytes }, text);
  });
}
