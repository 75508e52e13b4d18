// x·W + bias with all leading axes of x folded into rows.
import { type Dim, dimMul, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';
import { gemm } from './gemm';

interface BlocksAttrs {
  readonly m: Dim;
  readonly n: Dim;
  readonly k: Dim;
}

/** The product with weights in int8 blocks. It has no gradient: such weights are frozen. */
const linearQ8Op: OpDefinition<BlocksAttrs> = {
  name: 'matmul_q8',
  infer: ([x], { n }) => [{ shape: [...x.shape.slice(0, -1), n], dtype: 'f32' }],
  lower: (c) => {
    const [a, b, bias] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('matmul_q8', { a, b, bias, out: c.out() }, { ...c.attrs }, { activation: 0 });
  },
};

/**
 * x·w + bias. x: f32 [..., K]; w: f32 [K, N], or [N, K] with `transposed` (torch's Linear); bias: f32 [N] → [..., N]. w may be q8 [N, K] with
 * `transposed`: then x is rounded to 16 bits within blocks of 32 (an error of 2⁻¹⁶ of a block's largest value), and there is no gradient.
 * @throws INVALID_SHAPE, INVALID_DTYPE.
 */
export function linear(x: Operand, w: Operand, bias?: Operand, options: { transposed?: boolean } = {}): Tensor {
  const transposed = options.transposed ?? false;
  const left = asTensor('linear', 'x', x);
  const weight = asTensor('linear', 'w', w);
  checkDtype('linear', 'x', left, 'f32');
  const blocks = weight.dtype === 'q8';
  if (!blocks) checkDtype('linear', 'w', weight, 'f32');
  checkOption(!blocks || transposed, 'linear', 'weights in int8 blocks are [N, K], so "transposed" must be true', transposed);
  checkRule(left.rank >= 1, 'linear', 'x must have at least one axis', left);
  checkRule(weight.rank === 2, 'linear', `w must be ${transposed ? '[N, K]' : '[K, N]'}`, weight);
  const k = left.shape[left.rank - 1];
  const n = weight.shape[transposed ? 0 : 1];
  const rule = `the last size of x must be the ${transposed ? 'last' : 'first'} of w`;
  checkRule(shapeEquals([k], [weight.shape[transposed ? 1 : 0]]), 'linear', rule, left, weight);
  const added = bias === undefined ? undefined : asTensor('linear', 'bias', bias);
  if (added !== undefined) {
    checkDtype('linear', 'bias', added, 'f32');
    checkRule(shapeEquals(added.shape, [n]), 'linear', 'bias must be [N] for a weight with N outputs', added, weight);
  }
  const leading = left.shape.slice(0, -1);
  if (blocks) return apply(linearQ8Op, added === undefined ? [left, weight] : [left, weight, added], { m: dimMul(...leading), n, k })[0];
  return gemm(left, weight, added, { form: transposed ? 'NT' : 'NN', batch: 1, m: dimMul(...leading), n, k, shape: [...leading, n] });
}
