// Softmax and log-softmax over the last axis.
import { type Dim, dimMul } from '../dims';
import { apply, asTensor, checkDtype, checkRule, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';

interface SoftmaxAttrs {
  readonly log: boolean;
  readonly rows: Dim;
  readonly cols: Dim;
}

const softmaxOp: OpDefinition<SoftmaxAttrs> = {
  name: 'softmax',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  gradient: ({ attrs, outputs: [y], upstream: [dy] }) => (dy === undefined ? [] : apply(softmaxBackwardOp, [y, dy], attrs)),
  lower: (c) =>
    c.emit('softmax', { x: c.view(c.inputs[0]), out: c.out() }, { rows: c.attrs.rows, cols: c.attrs.cols }, { log: Number(c.attrs.log) }),
};

const softmaxBackwardOp: OpDefinition<SoftmaxAttrs> = {
  name: 'softmax_backward',
  infer: ([y]) => [{ shape: y.shape, dtype: 'f32' }],
  lower: (c) => {
    const { rows, cols, log } = c.attrs;
    c.emit('softmax_backward', { y: c.view(c.inputs[0]), dy: c.view(c.inputs[1]), dx: c.out() }, { rows, cols }, { log: Number(log) });
  },
};

function make(op: string, x: Operand, log: boolean): Tensor {
  const tensor = asTensor(op, 'x', x);
  checkRule(tensor.rank >= 1, op, 'x must have at least one axis', tensor);
  checkDtype(op, 'x', tensor, 'f32');
  const cols = tensor.shape[tensor.rank - 1];
  return apply(softmaxOp, [tensor], { log, rows: dimMul(...tensor.shape.slice(0, -1)), cols })[0];
}

/** e^x ÷ Σ e^x over the last axis. x: f32 [..., C]. */
export const softmax = (x: Operand): Tensor => make('softmax', x, false);
/** x − log Σ e^x over the last axis. x: f32 [..., C]. */
export const logSoftmax = (x: Operand): Tensor => make('logSoftmax', x, true);
