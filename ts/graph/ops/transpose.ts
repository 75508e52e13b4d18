// Swaps the last two axes, moving the elements.
import { type Dim, dimMul } from '../dims';
import { apply, asTensor, checkDtype, checkRule, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';

interface TransposeAttrs {
  readonly batch: Dim;
  readonly m: Dim;
  readonly n: Dim;
}

const transposeOp: OpDefinition<TransposeAttrs> = {
  name: 'transpose',
  infer: ([x], { m, n }) => [{ shape: [...x.shape.slice(0, -2), n, m], dtype: 'f32' }],
  gradient: ({ upstream: [dy] }) => (dy === undefined ? [] : [transpose(dy)]),
  lower: (c) => c.emit('transpose', { x: c.view(c.inputs[0]), out: c.out() }, { batch: c.attrs.batch, m: c.attrs.m, n: c.attrs.n }),
};

/** Swaps the last two axes. x: f32 [..., M, N] → [..., N, M]. @throws INVALID_SHAPE below two axes. */
export function transpose(x: Operand): Tensor {
  const tensor = asTensor('transpose', 'x', x);
  checkRule(tensor.rank >= 2, 'transpose', 'x must have at least two axes', tensor);
  checkDtype('transpose', 'x', tensor, 'f32');
  const [m, n] = tensor.shape.slice(-2);
  return apply(transposeOp, [tensor], { batch: dimMul(...tensor.shape.slice(0, -2)), m, n })[0];
}
