// x·W + bias with all leading axes of x folded into rows.
import { dimMul, shapeEquals } from '../dims';
import { asTensor, checkDtype, checkRule } from '../op';
import type { Operand, Tensor } from '../tensor';
import { gemm } from './gemm';

/**
 * x·w + bias. x: f32 [..., K]; w: f32 [K, N], or [N, K] with `transposed` (torch's Linear); bias: f32 [N] → [..., N].
 * @throws INVALID_SHAPE, INVALID_DTYPE.
 */
export function linear(x: Operand, w: Operand, bias?: Operand, options: { transposed?: boolean } = {}): Tensor {
  const transposed = options.transposed ?? false;
  const left = asTensor('linear', 'x', x);
  const weight = asTensor('linear', 'w', w);
  checkDtype('linear', 'x', left, 'f32');
  checkDtype('linear', 'w', weight, 'f32');
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
  return gemm(left, weight, added, { form: transposed ? 'NT' : 'NN', batch: 1, m: dimMul(...leading), n, k, shape: [...leading, n] });
}
