// Dropout: zeroes elements with probability p and scales the rest by 1 ÷ (1 − p). Its random bits depend on seed, step, micro-batch and path only.
import { numel } from '../dims';
import { apply, asTensor, checkDtype, type OpDefinition } from '../op';
import { checkDropout, dropoutParams } from '../path';
import type { Operand, Tensor } from '../tensor';

interface DropoutAttrs {
  readonly p: number;
  readonly path: string;
}

const dropoutOp: OpDefinition<DropoutAttrs> = {
  name: 'dropout',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  // The mask is drawn again from the same key instead of being kept.
  gradient: ({ attrs, upstream: [dy] }) => (dy === undefined ? [] : [dropout(dy, attrs.p, attrs.path)]),
  lower: (c) =>
    c.emit('dropout', { x: c.view(c.inputs[0]), out: c.out() }, { n: numel(c.inputs[0].shape) }, dropoutParams(c.attrs.p, c.attrs.path)),
};

/**
 * Dropout for training; p = 0 gives x itself. x: f32 of any shape. `path` is unique per dropout in a model (its module path).
 * The program reads the scalar inputs `seedLo`, `seedHi`, `step` and `micro`.
 * @throws INVALID_OPTION unless 0 ≤ p < 1 and a path is given.
 */
export function dropout(x: Operand, p: number, path: string): Tensor {
  const tensor = asTensor('dropout', 'x', x);
  checkDtype('dropout', 'x', tensor, 'f32');
  checkDropout('dropout', p, path);
  return p === 0 ? tensor : apply(dropoutOp, [tensor], { p, path })[0];
}
