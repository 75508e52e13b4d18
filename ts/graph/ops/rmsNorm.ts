// Root-mean-square normalisation of the last axis (Zhang and Sennrich, arXiv:1910.07467), with its gradients.
import { type Dim, dimMul, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';

interface RowsAttrs {
  readonly rows: Dim;
  readonly cols: Dim;
}

/** Inputs x, weight?; outputs y, 1 ÷ √(mean(x²) + eps) [rows]. */
const rmsNormOp: OpDefinition<RowsAttrs & { readonly eps: number }> = {
  name: 'rms_norm',
  infer: ([x], { rows }) => [
    { shape: x.shape, dtype: 'f32' },
    { shape: [rows], dtype: 'f32' },
  ],
  gradient: ({ attrs: { rows, cols }, inputs: [x, weight], outputs: [, rstd], upstream: [dy], needed }) => {
    if (dy === undefined) return [];
    const read = weight === undefined ? [x, rstd, dy] : [x, rstd, dy, weight];
    return [
      needed[0] ? apply(rmsNormBackwardOp, read, { rows, cols })[0] : undefined,
      needed[1] ? apply(rmsNormParamsOp, [x, rstd, dy], { rows, cols })[0] : undefined,
    ];
  },
  lower: (c) => {
    const [x, weight] = c.inputs.map((tensor) => c.view(tensor));
    const { rows, cols, eps } = c.attrs;
    c.emit('rms_norm', { x, weight, out: c.out(0), rstd: c.out(1) }, { rows, cols }, { eps });
  },
};

const rmsNormBackwardOp: OpDefinition<RowsAttrs> = {
  name: 'rms_norm_backward',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  lower: (c) => {
    const [x, rstd, dy, weight] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('rms_norm_backward', { x, weight, rstd, dy, dx: c.out() }, { rows: c.attrs.rows, cols: c.attrs.cols });
  },
};

const rmsNormParamsOp: OpDefinition<RowsAttrs> = {
  name: 'rms_norm_backward_params',
  infer: (_inputs, { cols }) => [{ shape: [cols], dtype: 'f32' }],
  lower: (c) => {
    const [x, rstd, dy] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('rms_norm_backward_params', { x, rstd, dy, dweight: c.out() }, { rows: c.attrs.rows, cols: c.attrs.cols });
  },
};

/**
 * x ÷ √(mean(x²) + eps) · weight over the last axis, as `LlamaRMSNorm` in transformers. x: f32 [..., C]; weight: f32 [C] or absent → [..., C].
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION (eps not positive).
 */
export function rmsNorm(x: Operand, weight?: Operand, eps = 1e-5): Tensor {
  const tensor = asTensor('rmsNorm', 'x', x);
  checkRule(tensor.rank >= 1, 'rmsNorm', 'x must have at least one axis', tensor);
  checkDtype('rmsNorm', 'x', tensor, 'f32');
  checkOption(Number.isFinite(eps) && eps > 0, 'rmsNorm', 'eps must be a positive number', eps);
  const cols = tensor.shape[tensor.rank - 1];
  const attrs = { rows: dimMul(...tensor.shape.slice(0, -1)), cols, eps };
  if (weight === undefined) return apply(rmsNormOp, [tensor], attrs)[0];
  const scale = asTensor('rmsNorm', 'weight', weight);
  checkDtype('rmsNorm', 'weight', scale, 'f32');
  checkRule(shapeEquals(scale.shape, [cols]), 'rmsNorm', 'weight must be [C] for x [..., C]', scale, tensor);
  return apply(rmsNormOp, [tensor, scale], attrs)[0];
}
