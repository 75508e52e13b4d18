// Cross-entropy of x·Wᵀ by blocks of rows: the logits [rows, V] are never held whole, forward or backward.
import { type Dim, dimEquals, dimMul, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkRule, checkWeights, type OpDefinition } from '../op';
import type { Operand } from '../tensor';
import { checkIgnore, IGNORE_INDEX, type RowLosses } from './crossEntropy';
import { fill } from './fill';

interface HeadAttrs {
  readonly rows: Dim;
  readonly vocab: Dim;
  readonly cols: Dim;
  readonly ignore: number;
}

const linearCrossEntropyOp: OpDefinition<HeadAttrs> = {
  name: 'linear_cross_entropy',
  infer: ([, , labels]) => [0, 1].map(() => ({ shape: labels.shape, dtype: 'f32' as const })),
  gradient: ({ attrs, inputs: [x, w, labels], outputs: [loss, logZ], upstream: [g, gz], needed }) => {
    if (g === undefined && gz === undefined) return [];
    const inputs = [x, w, labels, logZ, g ?? fill(loss.shape, 0), ...(gz === undefined ? [] : [gz])];
    return [needed[0] ? apply(backwardXOp, inputs, attrs)[0] : undefined, needed[1] ? apply(backwardWOp, inputs, attrs)[0] : undefined];
  },
  lower: (c) => {
    const { rows, vocab, cols, ignore } = c.attrs;
    const [x, w, labels] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('linear_cross_entropy', { x, w, labels, loss: c.out(0), log_z: c.out(1) }, { rows, vocab, cols }, { ignore });
  },
};

const backwardXOp: OpDefinition<HeadAttrs> = {
  name: 'linear_cross_entropy_backward_x',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  lower: (c) => {
    const { rows, vocab, cols, ignore } = c.attrs;
    const [x, w, labels, logZ, g, gz] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('linear_cross_entropy_backward_x', { x, w, labels, log_z: logZ, g, gz, dx: c.out() }, { rows, vocab, cols }, { ignore });
  },
};

const backwardWOp: OpDefinition<HeadAttrs> = {
  name: 'linear_cross_entropy_backward_w',
  infer: ([, w]) => [{ shape: w.shape, dtype: 'f32' }],
  lower: (c) => {
    const { rows, vocab, cols, ignore } = c.attrs;
    const [x, w, labels, logZ, g, gz] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('linear_cross_entropy_backward_w', { x, w, labels, log_z: logZ, g, gz, dw: c.out() }, { rows, vocab, cols }, { ignore });
  },
};

/**
 * Cross-entropy of logits x·wᵀ. x: f32 [..., C]; w: f32, bf16 or q8 [V, C]; labels: i32 [...], each 0 to V − 1 or `ignoreIndex` (checked by the kernel)
 * → loss f32 [...] (0 where ignored) and logZ f32 [...]. Both may be differentiated with respect to x and w.
 */
export function linearCrossEntropy(x: Operand, w: Operand, labels: Operand, options: { ignoreIndex?: number } = {}): RowLosses {
  const op = 'linearCrossEntropy';
  const { ignoreIndex = IGNORE_INDEX } = options;
  const rowsOf = asTensor(op, 'x', x);
  const weight = asTensor(op, 'w', w);
  const targets = asTensor(op, 'labels', labels);
  checkDtype(op, 'x', rowsOf, 'f32');
  checkWeights(op, 'w', weight);
  checkDtype(op, 'labels', targets, 'i32');
  checkRule(
    rowsOf.rank >= 1 && weight.rank === 2 && dimEquals(rowsOf.shape[rowsOf.rank - 1], weight.shape[1]),
    op,
    'w must be [V, C] for x [..., C]',
    weight,
    rowsOf,
  );
  checkRule(shapeEquals(rowsOf.shape.slice(0, -1), targets.shape), op, 'labels must be [...] for x [..., C]', targets, rowsOf);
  checkIgnore(op, ignoreIndex);
  const [vocab, cols] = weight.shape;
  const [loss, logZ] = apply(linearCrossEntropyOp, [rowsOf, weight, targets], {
    rows: dimMul(...targets.shape),
    vocab,
    cols,
    ignore: ignoreIndex,
  });
  return { loss, logZ };
}
