// Products of (batches of) matrices, either operand optionally transposed.
import { dimEquals, dimMul, shapeEquals } from '../dims';
import { asTensor, checkDtype, checkRule } from '../op';
import type { Operand, Tensor } from '../tensor';
import { gemm } from './gemm';
import { transpose } from './transpose';

/**
 * a·b over the last two axes. a: f32 [..., M, K] (with `transposeA`: [..., K, M]); b: f32 [..., K, N] (with `transposeB`: [..., N, K]) → [..., M, N].
 * The leading sizes of a and b are equal, or b has two axes and serves every matrix of a.
 * @throws INVALID_SHAPE, INVALID_DTYPE.
 */
export function matmul(a: Operand, b: Operand, options: { transposeA?: boolean; transposeB?: boolean } = {}): Tensor {
  const { transposeA = false, transposeB = false } = options;
  let left = asTensor('matmul', 'a', a);
  const right = asTensor('matmul', 'b', b);
  checkDtype('matmul', 'a', left, 'f32');
  checkDtype('matmul', 'b', right, 'f32');
  checkRule(left.rank >= 2 && right.rank >= 2, 'matmul', 'a and b must have at least two axes', left, right);
  const leading = left.shape.slice(0, -2);
  const shared = right.rank === 2 && left.rank > 2;
  checkRule(
    shared || shapeEquals(leading, right.shape.slice(0, -2)),
    'matmul',
    'leading sizes must be equal, or b must have two axes',
    left,
    right,
  );
  const [m, k] = transposeA ? [left.shape[left.rank - 1], left.shape[left.rank - 2]] : left.shape.slice(-2);
  const [inner, n] = transposeB ? [right.shape[right.rank - 1], right.shape[right.rank - 2]] : right.shape.slice(-2);
  checkRule(dimEquals(k, inner), 'matmul', 'a and b must agree in the summed size', left, right);
  const shape = [...leading, m, n];
  // No kernel reads both operands transposed, and rows of a transposed batch do not fold: the left one is then moved first.
  const moved = transposeA && (transposeB || shared);
  if (moved) left = transpose(left);
  const form = transposeB ? 'NT' : transposeA && !moved ? 'TN' : 'NN';
  if (shared) return gemm(left, right, undefined, { form, batch: 1, m: dimMul(...leading, m), n, k, shape });
  return gemm(left, right, undefined, { form, batch: dimMul(...leading), m, n, k, shape });
}
