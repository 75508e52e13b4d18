// Cross-entropy of a head with smoothed labels, as torch.nn.functional.cross_entropy(label_smoothing, ignore_index) has it, out of ops there are. Letters in shapes:
// C width, V words.

import { FerroError, show } from '../errors';
import {
  add,
  addInteger,
  constant,
  countLabels,
  crossEntropy,
  embedding,
  IGNORE_INDEX,
  linear,
  linearCrossEntropy,
  mul,
  reshape,
  scale,
  sub,
  sumRows,
  type Tensor,
} from '../graph';
import type { RowLoss } from './loss';

/**
 * Logits that are held whole in training: 64 MB, as many as the plain loss keeps (ts/graph/head.ts). Beyond that they are computed again in backward, by blocks:
 * the kernels that keep a block at a time know no gradient of logZ.
 */
const MOST_LOGITS = 1 << 24;

/** f32 [.., 1]: 1 where a label counts, 0 where it is the ignored one. Labels are from −100 to V − 1. */
function counted(labels: Tensor, vocab: number): Tensor {
  const table = new Float32Array(vocab - IGNORE_INDEX).fill(1);
  table[0] = 0;
  return embedding(constant(table, [table.length, 1]), addInteger(labels, -IGNORE_INDEX));
}

/**
 * (1 − ε)·(logZ − z_y) + ε·(logZ − mean_v z_v) per row, in nats, z = x·wᵀ: the label has 1 − ε of the target and all words share ε evenly (Szegedy et al.
 * 2016). The mean of a row's logits is x·(mean row of w), so it costs one product with a vector.
 * @param x f32 [.., C] @param w f32 [V, C] @param labels i32 [..]; −100 leaves a row out
 * @param epsilon from 0 (plain cross-entropy, the same graph as without) to below 1
 * @param mostLogits up to so many logits are held whole
 * @throws INVALID_OPTION
 */
export function smoothedCrossEntropy(x: Tensor, w: Tensor, labels: Tensor, epsilon: number, mostLogits = MOST_LOGITS): RowLoss {
  if (!(epsilon >= 0 && epsilon < 1))
    throw new FerroError('INVALID_OPTION', `loss: "labelSmoothing" must be a number from 0 to below 1, got ${show(epsilon)}`);
  const ignored = { ignoreIndex: IGNORE_INDEX };
  const count = countLabels(labels, IGNORE_INDEX);
  if (epsilon === 0) return { sum: linearCrossEntropy(x, w, labels, ignored).loss, count };
  const [vocab, width] = w.shape as number[];
  const { size } = labels; // no number where rows are counted only when the program runs
  const whole = typeof size === 'number' && size * vocab <= mostLogits;
  const { loss, logZ } = whole
    ? crossEntropy(linear(x, w, undefined, { transposed: true }), labels, ignored)
    : linearCrossEntropy(x, w, labels, ignored);
  const meanRow = reshape(scale(sumRows(w), 1 / vocab), [1, width]);
  const meanLogit = mul(linear(x, meanRow, undefined, { transposed: true }), counted(labels, vocab)); // [.., 1]
  const spread = sub(logZ, reshape(meanLogit, labels.shape)); // 0 where ignored: both are
  return { sum: add(scale(loss, 1 - epsilon), scale(spread, epsilon)), count };
}
