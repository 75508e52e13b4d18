// A larger vocabulary for a model in an engine: new variables for the token table and the head, the old rows moved piece by piece, new rows made. Which tokens they are is the
// tokenizer's business.
import type { BoundModule } from '../bind';
import { throwIfAborted } from '../errors';
import { Variable } from '../graph';
import type { CausalLM } from '../models';
import { GPT2_STD, normal } from '../nn';

/** Elements moved at a time: 4 MiB. */
const PIECE_ELEMENTS = 1 << 20;

/**
 * Makes room for the ids from `before` up to `after` − 1, unless the tables have it already (a padded vocabulary), and gives them their first vectors: the mean over the rows of the
 * old tokens, summed in f64, plus normal numbers of standard deviation 0.02.
 * @throws OUT_OF_MEMORY, ABORTED, MODEL_CLOSED: nothing was changed then
 */
export async function growVocabulary(bound: BoundModule<CausalLM>, before: number, after: number, signal?: AbortSignal): Promise<void> {
  if (after === before) return;
  const { module } = bound;
  const old = module.vocabularyWeights;
  const first: Float32Array[] = [];
  for (const weight of old) first.push(await firstVectors(bound, weight, before, after - before, signal));
  if (after <= module.config.vocabSize) {
    for (const [i, weight] of old.entries()) await bound.write(weight, first[i], 'addTokens', { start: before * weight.shape[1] });
    return;
  }
  const others = old.map(({ name, shape, trainable, decay }) => new Variable({ name, shape: [after, shape[1]], trainable, decay }));
  await bound.allocate(others, signal, true);
  try {
    for (const [i, weight] of old.entries()) {
      await copyRows(bound, weight, others[i], before, signal);
      await bound.write(others[i], first[i], 'addTokens', { start: before * weight.shape[1] });
    }
  } catch (error) {
    if (!bound.closed) await bound.release(others);
    throw error;
  }
  module.replaceVocabulary(others);
  await bound.replace(new Map(old.map((weight, i) => [weight, others[i]])));
}

async function* pieces(
  bound: BoundModule<CausalLM>,
  weight: Variable,
  end: number,
  signal?: AbortSignal,
): AsyncGenerator<[number, Float32Array]> {
  for (let start = 0; start < end; start += PIECE_ELEMENTS) {
    throwIfAborted(signal, 'addTokens');
    yield [start, (await bound.read(weight, 'addTokens', { start, end: Math.min(start + PIECE_ELEMENTS, end) })) as Float32Array];
  }
}

async function copyRows(bound: BoundModule<CausalLM>, from: Variable, to: Variable, rows: number, signal?: AbortSignal): Promise<void> {
  for await (const [start, data] of pieces(bound, from, rows * from.shape[1], signal)) {
    await bound.write(to, data, 'addTokens', { start, give: true });
  }
}

/** `count` rows: the mean of the first `rows` ones, plus noise that follows from the model's seed, the weight's name and the ids. */
async function firstVectors(
  bound: BoundModule<CausalLM>,
  weight: Variable,
  rows: number,
  count: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const width = weight.shape[1];
  const sums = new Float64Array(width);
  for await (const [start, data] of pieces(bound, weight, rows * width, signal)) {
    for (let i = 0; i < data.length; i++) sums[(start + i) % width] += data[i];
  }
  const noise = new Variable({ name: `added.${rows}.${weight.name}`, shape: [count, width], trainable: false, init: normal(GPT2_STD) });
  await bound.allocate([noise], signal);
  try {
    const vectors = (await bound.read(noise, 'addTokens')) as Float32Array;
    for (let i = 0; i < vectors.length; i++) vectors[i] += sums[i % width] / rows;
    return vectors;
  } finally {
    if (!bound.closed) await bound.release([noise]);
  }
}
