// The global norm of gradients and what an update makes of it: division by the count, clipping, and skipping a step that must not happen.
import { FerroError } from '../../errors';
import { maxNumel, numel, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, type OpDefinition } from '../op';
import { NORM_BLOCK } from '../opcodes';
import { type Operand, type ScalarName, scalarName, type Tensor } from '../tensor';

const F64_BYTES = 8;
const blocks = (tensor: Tensor): number => Math.ceil(maxNumel(tensor.shape) / NORM_BLOCK);

const squaredNormOp: OpDefinition = {
  name: 'squared_norm',
  infer: (gradients) => [{ shape: [gradients.reduce((total, gradient) => total + blocks(gradient), 0)], dtype: 'f64' }],
  lower: (c) => {
    const partials = c.out();
    let offset = partials.offset;
    for (const gradient of c.inputs) {
      const bytes = blocks(gradient) * F64_BYTES;
      c.emit('squared_norm', { g: c.view(gradient), partials: { ...partials, offset, bytes } }, { n: numel(gradient.shape) });
      offset += bytes;
    }
  },
};

/**
 * Sums of squares of all gradients, in f64, one per 4096 elements, all in one buffer for `clipFinish`.
 * gradients: f32 variables or tensors of static shapes, at least one → f64 [partials]. Not differentiable.
 * @throws INVALID_OPTION when empty; INVALID_SHAPE, INVALID_DTYPE.
 */
export function squaredNorm(gradients: readonly Operand[]): Tensor {
  checkOption(gradients.length > 0, 'squaredNorm', 'at least one gradient must be given', gradients.length);
  const tensors = gradients.map((gradient, index) => asTensor('squaredNorm', `gradients[${index}]`, gradient));
  tensors.forEach((tensor, index) => {
    checkDtype('squaredNorm', `gradients[${index}]`, tensor, 'f32');
    checkRule(typeof numel(tensor.shape) === 'number', 'squaredNorm', 'gradients must have static shapes', tensor);
  });
  return apply(squaredNormOp, tensors, undefined)[0];
}

const clipFinishOp: OpDefinition<{ readonly maxNorm: string }> = {
  name: 'clip_finish',
  infer: ([partials]) => {
    checkRule(partials.rank === 1, 'clipFinish', 'partials must come from squaredNorm', partials);
    return [{ shape: [4], dtype: 'f32' }];
  },
  lower: (c) => {
    const [partials, count] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('clip_finish', { partials, count, out: c.out() }, { n_partials: c.inputs[0].shape[0] }, { max_norm: c.attrs.maxNorm });
  },
};

/**
 * What an update needs: f32 [norm, factor, skip, count]. norm = √Σ ÷ count; factor = min(1, maxNorm ÷ (norm + 1e-6)) ÷ count (a scalar of 0: no clipping);
 * skip = 1 when the count is 0 or the norm is not finite. partials: from `squaredNorm`; count: f32 [1], default 1; maxNorm: scalar input, default `maxNorm`.
 */
export function clipFinish(partials: Tensor, count?: Operand, maxNorm: ScalarName = 'maxNorm'): Tensor {
  if (partials.dtype !== 'f64') throw new FerroError('INVALID_DTYPE', `clipFinish: partials must be f64 from squaredNorm, got ${partials}`);
  const inputs = [partials];
  if (count !== undefined) {
    const tensor = asTensor('clipFinish', 'count', count);
    checkDtype('clipFinish', 'count', tensor, 'f32');
    checkRule(shapeEquals(tensor.shape, [1]), 'clipFinish', 'count must be [1]', tensor);
    inputs.push(tensor);
  }
  return apply(clipFinishOp, inputs, { maxNorm: scalarName(maxNorm) })[0];
}
