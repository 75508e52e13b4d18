// `eval` of the task `lm`: loss, perplexity and bits per byte of text files, and what int8 blocks change.
import { evalBatches, TextDataset } from '../../data';
import type { Engine, PretrainedOptions, Tokenizer } from '../../index';
import { CONTEXT_OPTIONS } from '../../options';
import { Evaluator } from '../../train';
import { pickGiven } from '../flags';
import { formatCount } from '../format';
import { type EvalContext, openGpt, withTokenizer } from './context';
import type { EvalValues, Measured } from './measured';

/** Measures a saved model, and with --quantize its quantised form beside it. */
export async function evaluateLm({ engine, source, data, values }: EvalContext): Promise<Measured> {
  const { quantize } = values;
  // Tokens of the files, the same for both forms of the model: read once.
  let dataset: TextDataset | undefined;
  const tokensOf = async (tokenizer: Tokenizer) => {
    dataset ??= await TextDataset.fromFiles(data, tokenizer);
    return dataset;
  };
  const context = pickGiven(values, CONTEXT_OPTIONS);
  const plain = await measure(engine, source, tokensOf, values, context);
  if (quantize === undefined || plain.quantized !== null) return { result: plain, text: textOf(plain) };
  const quantized = await measure(engine, source, tokensOf, values, { ...context, quantize });
  const difference = { loss: quantized.loss - plain.loss, perplexity: quantized.perplexity - plain.perplexity };
  const percent = (100 * difference.perplexity) / plain.perplexity;
  const change = `${quantize} against f32: loss ${signed(difference.loss, 5)}, perplexity ${signed(difference.perplexity, 4)} (${signed(percent, 3)} %)`;
  return { result: { ...quantized, plain, difference }, text: `f32:  ${textOf(plain)}\n${quantize}: ${textOf(quantized)}\n${change}` };
}

const signed = (x: number, digits: number): string => (x < 0 ? '' : '+') + x.toFixed(digits);

/** How well one form of a model predicts the files. The model is closed again. */
async function measure(
  engine: Engine,
  source: string,
  tokensOf: (tokenizer: Tokenizer) => Promise<TextDataset>,
  { batchSize, stride, adapter }: Pick<EvalValues, 'batchSize' | 'stride' | 'adapter'>,
  options: Pick<PretrainedOptions, 'quantize' | (typeof CONTEXT_OPTIONS)[number]>,
) {
  const model = await openGpt(engine, source, { adapter, ...options });
  try {
    const dataset = await tokensOf(withTokenizer('eval: "--model"', model, source).tokenizer);
    const batches = evalBatches(dataset, { blockSize: model.blockSize, batchSize, stride });
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
