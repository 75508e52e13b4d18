// The logarithm of the sigmoid, out of elementwise ops: it has no instruction of its own.
import { asTensor } from '../op';
import type { Operand, Tensor } from '../tensor';
import { sub } from './binary';
import { abs, addScalar, exp, log, neg, scale } from './unary';

/**
 * ln(1 / (1 + e^−x)), elementwise, as (x − |x|)/2 − ln(1 + e^−|x|): it neither overflows nor loses its gradient, which is ½ at 0. x: f32 of any shape.
 * The absolute error is at most 2e-7 of the larger of 1 and |x|.
 */
export function logSigmoid(x: Operand): Tensor {
  const tensor = asTensor('logSigmoid', 'x', x);
  const magnitude = abs(tensor);
  return sub(scale(sub(tensor, magnitude), 0.5), log(addScalar(exp(neg(magnitude)), 1)));
}
