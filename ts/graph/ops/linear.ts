// x·W + bias with all leading axes of x folded into rows.
import { type Dim, dimMul, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, checkWeights, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';
import { gemm } from './gemm';
import { gather } from './reduce';

interface BlocksAttrs {
  readonly m: Dim;
  readonly n: Dim;
  readonly k: Dim;
}

/** The product of rows rounded to 16 bits with weights in int8 blocks. Its gradient is that of the product with the weights they stand for. */
const linearQ8Op: OpDefinition<BlocksAttrs> = {
  name: 'matmul_q8',
  infer: ([x], { n }) => [{ shape: [...x.shape.slice(0, -1), n], dtype: 'f32' }],
  gradient: ({ attrs: { m, n, k }, inputs: [x, w, bias], upstream: [dy], needed }) => {
    if (dy === undefined) return [];
    const dx = needed[0] ? gemm(dy, w, undefined, { form: 'NN', batch: 1, m, n: k, k: n, shape: x.shape }) : undefined;
    return [dx, undefined, bias !== undefined && needed[2] ? gather(dy, bias.shape, 'row', m, n) : undefined];
  },
  lower: (c) => {
    const [a, b, bias] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('matmul_q8', { a, b, bias, out: c.out() }, { ...c.attrs }, { activation: 0 });
  },
};

/** How `linear` reads its weights. */
export interface LinearProductOptions {
  /** w is [N, K]. Default false. */
  transposed?: boolean;
  /** Multiplies x as it is with weights in int8 blocks, as training does, instead of rounding it first. Default false. */
  exact?: boolean;
}

/**
 * x·w + bias. x: f32 [..., K]; w: f32 or bf16 [K, N], or [N, K] with `transposed` (torch's Linear); bias: f32 [N] → [..., N]. w may be q8 [N, K] with
 * `transposed`: then x is rounded to 16 bits within blocks of 32 (an error of 2⁻¹⁶ of a block's largest value), which is fast for few rows; with `exact`
 * it is not. bf16 and q8 weights are frozen: gradients pass through them to x.
 * @throws INVALID_SHAPE, INVALID_DTYPE.
 */
export function linear(x: Operand, w: Operand, bias?: Operand, options: LinearProductOptions = {}): Tensor {
  const transposed = options.transposed ?? false;
  const left = asTensor('linear', 'x', x);
  const weight = asTensor('linear', 'w', w);
  checkDtype('linear', 'x', left, 'f32');
  const blocks = weight.dtype === 'q8';
  checkWeights('linear', 'w', weight);
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
  if (blocks && options.exact !== true)
    return apply(linearQ8Op, added === undefined ? [left, weight] : [left, weight, added], { m: dimMul(...leading), n, k })[0];
  return gemm(left, weight, added, { form: transposed ? 'NT' : 'NN', batch: 1, m: dimMul(...leading), n, k, shape: [...leading, n] });
}
