// Cross-entropy per row from logits, and the count of labels that are not ignored.
import { type Dim, dimMul, numel, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';
import { fill } from './fill';

/** The label that counts for nothing, as in torch. */
export const IGNORE_INDEX = -100;

/** What cross-entropy gives per row: the loss (0 where ignored) and log Σ e^logit. */
export interface RowLosses {
  readonly loss: Tensor;
  readonly logZ: Tensor;
}

interface CrossEntropyAttrs {
  readonly rows: Dim;
  readonly vocab: Dim;
  readonly ignore: number;
}

const crossEntropyOp: OpDefinition<CrossEntropyAttrs> = {
  name: 'cross_entropy',
  infer: ([, labels]) => [0, 1].map(() => ({ shape: labels.shape, dtype: 'f32' as const })),
  gradient: ({ attrs, inputs: [logits, labels], outputs: [loss, logZ], upstream: [g, gz] }) => {
    if (g === undefined && gz === undefined) return [];
    const inputs = [logits, labels, logZ, g ?? fill(loss.shape, 0)];
    return apply(crossEntropyBackwardOp, gz === undefined ? inputs : [...inputs, gz], attrs);
  },
  lower: (c) => {
    const { rows, vocab, ignore } = c.attrs;
    const [logits, labels] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('cross_entropy', { logits, labels, loss: c.out(0), log_z: c.out(1) }, { rows, vocab }, { ignore });
  },
};

const crossEntropyBackwardOp: OpDefinition<CrossEntropyAttrs> = {
  name: 'cross_entropy_backward',
  infer: ([logits]) => [{ shape: logits.shape, dtype: 'f32' }],
  lower: (c) => {
    const { rows, vocab, ignore } = c.attrs;
    const [logits, labels, logZ, g, gz] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('cross_entropy_backward', { logits, labels, log_z: logZ, g, gz, dlogits: c.out() }, { rows, vocab }, { ignore });
  },
};

/** Checks `ignoreIndex`: any i32, since valid labels are told apart by range. */
export function checkIgnore(op: string, ignoreIndex: number): void {
  checkOption(Number.isInteger(ignoreIndex) && Math.abs(ignoreIndex) < 2 ** 31, op, 'ignoreIndex must be a 32-bit integer', ignoreIndex);
}

/**
 * −log softmax(logits)[label] per row. logits: f32 [..., V]; labels: i32 [...], each 0 to V − 1 or `ignoreIndex` (checked by the kernel: LABEL_OUT_OF_RANGE)
 * → loss f32 [...] (0 where ignored) and logZ f32 [...]. Both may be differentiated.
 */
export function crossEntropy(logits: Operand, labels: Operand, options: { ignoreIndex?: number } = {}): RowLosses {
  const op = 'crossEntropy';
  const { ignoreIndex = IGNORE_INDEX } = options;
  const scores = asTensor(op, 'logits', logits);
  const targets = asTensor(op, 'labels', labels);
  checkDtype(op, 'logits', scores, 'f32');
  checkDtype(op, 'labels', targets, 'i32');
  checkRule(
    scores.rank >= 1 && shapeEquals(scores.shape.slice(0, -1), targets.shape),
    op,
    'labels must be [...] for logits [..., V]',
    targets,
    scores,
  );
  checkIgnore(op, ignoreIndex);
  const attrs = { rows: dimMul(...targets.shape), vocab: scores.shape[scores.rank - 1], ignore: ignoreIndex };
  const [loss, logZ] = apply(crossEntropyOp, [scores, targets], attrs);
  return { loss, logZ };
}

const countLabelsOp: OpDefinition<{ readonly ignore: number }> = {
  name: 'count_labels',
  infer: () => [{ shape: [1], dtype: 'f32' }],
  lower: (c) =>
    c.emit('count_labels', { labels: c.view(c.inputs[0]), out: c.out() }, { n: numel(c.inputs[0].shape) }, { ignore: c.attrs.ignore }),
};

/** How many labels are not `ignoreIndex`. labels: i32 of any shape → f32 [1]. Not differentiable. */
export function countLabels(labels: Operand, ignoreIndex: number = IGNORE_INDEX): Tensor {
  const targets = asTensor('countLabels', 'labels', labels);
  checkDtype('countLabels', 'labels', targets, 'i32');
  checkIgnore('countLabels', ignoreIndex);
  return apply(countLabelsOp, [targets], { ignore: ignoreIndex })[0];
}
