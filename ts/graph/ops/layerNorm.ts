// Layer normalisation over the last axis (Ba et al. 2016, arXiv:1607.06450): (x − mean) ÷ √(variance + eps)·weight + bias.
import { type Dim, dimMul, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';
import { gather } from './reduce';

interface LayerNormAttrs {
  readonly rows: Dim;
  readonly cols: Dim;
  readonly eps: number;
  readonly hasWeight: boolean;
  readonly hasBias: boolean;
}

/** Inputs x, weight?, bias?; outputs y, mean [rows], 1 ÷ √(variance + eps) [rows]. */
const layerNormOp: OpDefinition<LayerNormAttrs> = {
  name: 'layer_norm',
  infer: ([x], { rows }) => [
    { shape: x.shape, dtype: 'f32' },
    { shape: [rows], dtype: 'f32' },
    { shape: [rows], dtype: 'f32' },
  ],
  gradient: ({ attrs, inputs, outputs: [, mean, rstd], upstream: [dy], needed }) => {
    if (dy === undefined) return [];
    const { rows, cols, hasWeight, hasBias } = attrs;
    const x = inputs[0];
    const weight = hasWeight ? inputs[1] : undefined;
    const biasAt = hasWeight ? 2 : 1;
    const gradients: (Tensor | undefined)[] = inputs.map(() => undefined);
    if (needed[0])
      gradients[0] = apply(layerNormBackwardOp, weight === undefined ? [x, mean, rstd, dy] : [x, mean, rstd, dy, weight], {
        rows,
        cols,
      })[0];
    const wantsBias = hasBias && needed[biasAt];
    if (hasWeight && needed[1]) {
      const [dweight, dbias] = apply(layerNormParamsOp, [x, mean, rstd, dy], { rows, cols, withBias: wantsBias });
      gradients[1] = dweight;
      if (wantsBias) gradients[biasAt] = dbias;
    } else if (wantsBias) {
      gradients[biasAt] = gather(dy, [cols], 'row', rows, cols);
    }
    return gradients;
  },
  lower: (c) => {
    const { rows, cols, eps, hasWeight, hasBias } = c.attrs;
    const weight = hasWeight ? c.view(c.inputs[1]) : undefined;
    const bias = hasBias ? c.view(c.inputs[hasWeight ? 2 : 1]) : undefined;
    c.emit('layer_norm', { x: c.view(c.inputs[0]), weight, bias, out: c.out(0), mean: c.out(1), rstd: c.out(2) }, { rows, cols }, { eps });
  },
};

interface RowsAttrs {
  readonly rows: Dim;
  readonly cols: Dim;
}

const layerNormBackwardOp: OpDefinition<RowsAttrs> = {
  name: 'layer_norm_backward',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  lower: (c) => {
    const [x, mean, rstd, dy, weight] = c.inputs.map((tensor) => c.view(tensor));
    c.emit('layer_norm_backward', { x, weight, mean, rstd, dy, dx: c.out() }, { rows: c.attrs.rows, cols: c.attrs.cols });
  },
};

const layerNormParamsOp: OpDefinition<RowsAttrs & { readonly withBias: boolean }> = {
  name: 'layer_norm_backward_params',
  infer: (_inputs, { cols, withBias }) => (withBias ? [0, 1] : [0]).map(() => ({ shape: [cols], dtype: 'f32' as const })),
  lower: (c) => {
    const [x, mean, rstd, dy] = c.inputs.map((tensor) => c.view(tensor));
    const { rows, cols, withBias } = c.attrs;
    c.emit('layer_norm_backward_params', { x, mean, rstd, dy, dweight: c.out(0), dbias: withBias ? c.out(1) : undefined }, { rows, cols });
  },
};

/**
 * Normalises each row of the last axis. x: f32 [..., C]; weight, bias: f32 [C] or absent → [..., C].
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION (eps not positive).
 */
export function layerNorm(x: Operand, weight?: Operand, bias?: Operand, eps = 1e-5): Tensor {
  const tensor = asTensor('layerNorm', 'x', x);
  checkRule(tensor.rank >= 1, 'layerNorm', 'x must have at least one axis', tensor);
  checkDtype('layerNorm', 'x', tensor, 'f32');
  checkOption(Number.isFinite(eps) && eps > 0, 'layerNorm', 'eps must be a positive number', eps);
  const cols = tensor.shape[tensor.rank - 1];
  const parameters = Object.entries({ weight, bias }).flatMap(([name, operand]) => {
    if (operand === undefined) return [];
    const parameter = asTensor('layerNorm', name, operand);
    checkDtype('layerNorm', name, parameter, 'f32');
    checkRule(shapeEquals(parameter.shape, [cols]), 'layerNorm', `${name} must be [C] for x [..., C]`, parameter, tensor);
    return [parameter];
  });
  const attrs = { rows: dimMul(...tensor.shape.slice(0, -1)), cols, eps, hasWeight: weight !== undefined, hasBias: bias !== undefined };
  return apply(layerNormOp, [tensor, ...parameters], attrs)[0];
}
