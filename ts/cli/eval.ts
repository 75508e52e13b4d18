// `ferroformer eval`: how well a saved model predicts a text.

import type { Command } from 'commander';
import { evalBatches, TextDataset } from '../data';
import { FerroError } from '../errors';
import { type Engine, GPT, type PretrainedOptions, type Tokenizer } from '../index';
import { COMMAND_OPTIONS, type OptionValues } from '../options';
import { Evaluator } from '../train';
import { addFlags, readCommandOptions, required } from './flags';
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

type Values = OptionValues<(typeof NAMES)[number]>;

async function evaluate(output: Output, values: Values): Promise<void> {
  const { quantize } = values;
  const source = required('eval', values.model, 'model');
  const data = required('eval', values.data, 'data');
  await withEngine(values, output, async (engine) => {
    // Tokens of the files, the same for both forms of the model: read once.
    let dataset: TextDataset | undefined;
    const tokensOf = async (tokenizer: Tokenizer) => {
      dataset ??= await TextDataset.fromFiles(data, tokenizer);
      return dataset;
    };
    const plain = await measure(engine, source, tokensOf, values, {});
    if (quantize === undefined || plain.quantized !== null) {
      output.result(plain, textOf(plain));
      return;
    }
    const quantized = await measure(engine, source, tokensOf, values, { quantize });
    const difference = { loss: quantized.loss - plain.loss, perplexity: quantized.perplexity - plain.perplexity };
    const percent = (100 * difference.perplexity) / plain.perplexity;
    const change = `${quantize} against f32: loss ${signed(difference.loss, 5)}, perplexity ${signed(difference.perplexity, 4)} (${signed(percent, 3)} %)`;
    output.result({ ...quantized, plain, difference }, `f32:  ${textOf(plain)}\n${quantize}: ${textOf(quantized)}\n${change}`);
  });
}

const signed = (x: number, digits: number): string => (x < 0 ? '' : '+') + x.toFixed(digits);

/** How well one form of a model predicts the files. The model is closed again. */
async function measure(
  engine: Engine,
  source: string,
  tokensOf: (tokenizer: Tokenizer) => Promise<TextDataset>,
  { batchSize }: Pick<Values, 'batchSize'>,
  options: PretrainedOptions,
) {
  const model = await GPT.fromPretrained(engine, source, options);
  try {
    if (model.tokenizer === null)
      throw new FerroError('INVALID_TOKENIZER', `eval: the model must have a tokenizer, got none in ${JSON.stringify(source)}`);
    const dataset = await tokensOf(model.tokenizer);
    const batches = evalBatches(dataset, { blockSize: model.blockSize, batchSize });
    const { loss, perplexity, tokens } = await new Evaluator(model.bound, model.loss, batchSize).run(batches);
    // The first token is not predicted, so its bytes do not count.
    const bytes = dataset.countBytes(1);
    return { loss, perplexity, bitsPerByte: (loss * tokens) / Math.LN2 / bytes, tokens, bytes, quantized: model.quantized };
  } finally {
    await model.close();
  }
}

function textOf({ loss, perplexity, bitsPerByte, tokens }: Awaited<ReturnType<typeof measure>>): string {
  return `loss ${loss.toFixed(4)} nats per token, perplexity ${perplexity.toFixed(3)}, ${bitsPerByte.toFixed(4)} bits per byte, ${formatCount(tokens)} tokens`;
}
